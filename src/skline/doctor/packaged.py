"""The artifact: is it whole, is it the one that is served, and was it made with these libraries."""

from importlib.metadata import PackageNotFoundError

from skline import paths
from skline.artifact import Artifact, ArtifactRefused, read_digest
from skline.doctor.finding import Finding, several
from skline.origin import library_versions

#: Of these a pickle wants the version it was written with.
EXACT = ("scikit-learn",)


def check() -> list[Finding]:
    """Verify the artifact as the service does, and compare the libraries it was made with."""
    if not paths.ARTIFACT.is_dir():
        return [Finding("look", "there is no artifact to serve yet", "uv run dvc repro")]
    try:
        artifact = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST))
    except ArtifactRefused as error:
        return [Finding("broken", str(error), "uv run dvc repro -f package")]
    try:
        here = library_versions()
    except PackageNotFoundError as error:
        return [Finding("broken", f"{error.name} is not installed", "uv sync")]
    made = artifact.manifest.libraries
    differing = [name for name in made if name in here and _release(made[name]) != _release(here[name])]
    if not differing:
        return [Finding("ok", f"artifact {artifact.version} is whole, and made with the libraries that are here")]
    words = several([f"{name} {made[name]} (here {here[name]})" for name in differing])
    what = f"artifact {artifact.version} was made with {words}"
    if set(differing) & set(EXACT):
        return [
            Finding("broken", f"{what}; scikit-learn reads no pipeline of another version", "uv run dvc repro -f train")
        ]
    return [
        Finding("look", f"{what}; the service refuses it if an answer differs in a bit", "uv run dvc repro -f train")
    ]


def _release(version: str) -> list[str]:
    """Major and minor: what may change answers and formats."""
    return version.split(".")[:2]
