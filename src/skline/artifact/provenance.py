"""What a pipeline was fitted by, besides data and parameters: the code of the engine, and the libraries.

Both determine the pipeline, so equal ones give an equal artifact. When it was fitted and from which commit are facts of
one run: MLflow holds them, and git holds which commit recorded the artifact's digest.
"""

import platform
from importlib.metadata import version

#: Name of the engine's distribution.
ENGINE = "skline"
LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")


def library_versions() -> dict[str, str]:
    """Return the versions of Python, without the patch release, and of the libraries that determine the predictions."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in LIBRARIES}
