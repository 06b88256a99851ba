"""What a pipeline was fitted by, besides data and parameters: the code of the engine, and the libraries.

Both determine the pipeline, so equal ones give an equal artifact. When it was fitted and from which commit are facts of
one run: MLflow holds them, and git holds which commit recorded the artifact's digest.
"""

import pickle
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from typing_extensions import override

#: Name of the engine's distribution.
ENGINE = "skline"
#: Libraries that every pipeline needs.
LIBRARIES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy")
#: The name under which the version of Python is recorded.
PYTHON = "python"


def library_versions(pipeline: Any) -> dict[str, str]:
    """Return the versions of Python, without the patch release, and of the libraries that determine the predictions.

    Parameters
    ----------
    pipeline : estimator
        The libraries of its objects follow those that every pipeline needs, such as the one of LightGBM.

    Returns
    -------
    dict of version by name of the distribution, as `uv add` takes it
    """
    python = ".".join(platform.python_version_tuple()[:2])
    names = [*LIBRARIES, *pipeline_libraries(pipeline)]
    return {PYTHON: python} | {name: version(name) for name in names}


def describe_libraries(libraries: Mapping[str, str]) -> str:
    """Return recorded versions for people: Python, scikit-learn, and what not every pipeline needs."""
    implied = {*LIBRARIES} - {"scikit-learn"}
    return ", ".join(f"{name} {release}" for name, release in libraries.items() if name not in implied)


def pipeline_libraries(pipeline: Any) -> list[str]:
    """Return the distributions that define the objects of a pipeline, beyond LIBRARIES and the engine, in order.

    The project's own package `model` is none: it is not installed.
    """
    modules = _Modules()
    modules.dump(pipeline)
    return [name for name in distributions_of(modules.names) if name not in LIBRARIES]


def distributions_of(modules: Iterable[str]) -> list[str]:
    """Return the installed distributions that define these modules, in order; the engine is left out."""
    packages = {name.partition(".")[0] for name in modules}
    found = {distribution for package in packages for distribution in _distributions().get(package, [])}
    return sorted(found - {ENGINE}, key=str.lower)


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the installed distributions by the package that they contain; reading them takes a tenth of a second."""
    return packages_distributions()


def differing_libraries(recorded: Mapping[str, str]) -> dict[str, str | None]:
    """Compare recorded versions with the installed ones.

    Of Python and the libraries that every pipeline needs, patch releases do not differ: they change neither predictions
    nor formats. Of any other library nothing is known, so each version differs.

    Parameters
    ----------
    recorded : mapping of version by name
        What `library_versions` returned.

    Returns
    -------
    dict of the installed version by name, None if the library is not installed; only what differs
    """
    installed = {name: installed_version(name) for name in recorded}
    return {
        name: present
        for name, present in installed.items()
        if present is None or not is_same_version(name, recorded[name], present)
    }


def is_same_version(name: str, recorded: str, present: str) -> bool:
    """Return whether two versions of a library count as the same; see `differing_libraries`."""
    return _significant(name, recorded) == _significant(name, present)


def installed_version(name: str) -> str | None:
    """Return the version of Python or of an installed distribution; None if it is not installed."""
    if name == PYTHON:
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _significant(name: str, release: str) -> str:
    """Return the part of a version in which two of them may differ."""
    return ".".join(release.split(".")[:2]) if name in (PYTHON, *LIBRARIES) else release


class _Modules(pickle.Pickler):
    """Collects the names of the modules whose classes and functions a pickle refers to; the pickle is discarded."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda _: None)  # arrays are not copied
        self.names: set[str] = set()

    @override
    def persistent_id(self, obj: Any) -> None:
        """Note the modules of an object and of its type; pickle calls this for every object."""
        for each in (obj, type(obj)):
            module = getattr(each, "__module__", None)
            if isinstance(module, str):
                self.names.add(module)


class _Nowhere:
    """A file that discards what is written."""

    def write(self, data: Any) -> int:
        """Discard the data, and return its length."""
        return len(data)
