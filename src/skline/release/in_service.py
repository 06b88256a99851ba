"""Which model is used where none is named: the release's champion, else the artifact that the gate admitted."""

from pathlib import Path
from typing import Literal, NamedTuple

from skline.artifact import read_digest
from skline.errors import SklineError
from skline.paths import ARTIFACT, RELEASE, RELEASES
from skline.release.manifest import Arm, read_manifest


class ModelSource(NamedTuple):
    """A model's artifact and its digest, and what names it: "release 3, flights/2", or the folder."""

    folder: Path
    digest: str
    named_by: str


def in_service(project: Path = Path(), arm: Literal["champion", "challenger"] | None = None) -> ModelSource:
    """Return the model that `skline serve` serves in a project.

    Parameters
    ----------
    project : Path
        Root of the project.
    arm : {"champion", "challenger"}, optional
        An arm of the release; by default the champion, or the admitted artifact if nothing is released.

    Raises
    ------
    SklineError
        If the release cannot be read, has no such arm, or lacks its artifact, or nothing is released and no artifact is
        admitted.
    """
    release = read_manifest(project / RELEASE)
    if release is None:
        if arm is not None:
            raise SklineError(f"nothing is released, so there is no {arm}; `skline promote` releases a version")
        return local_model(project / ARTIFACT)
    chosen: Arm | None = release.challenger if arm == "challenger" else release.champion
    if chosen is None:
        raise SklineError(f"release {release.number} has no challenger; `skline releases` lists what it has")
    folder = chosen.folder(project / RELEASES)
    return ModelSource(folder, chosen.sha256, f"release {release.number}, {chosen.version}")


def local_model(folder: Path, digest: str | None = None) -> ModelSource:
    """Return the artifact in a folder; by default its digest is in the file next to it, such as artifact.sha256.

    Raises
    ------
    InvalidArtifact
        If that file holds no digest.
    """
    return ModelSource(folder, digest or read_digest(folder.with_name(f"{folder.name}.sha256")), str(folder))
