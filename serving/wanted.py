"""What is to be served, as the release manifest or the digest says, and which artifacts fit one service."""

from pathlib import Path

from serving.settings import ServiceSettings
from skline.artifact import Artifact, ArtifactRefused
from skline.errors import SklineError
from skline.release import fit, manifest
from skline.release.experiment import BUCKETS
from skline.release.manifest import Release


def first(settings: ServiceSettings) -> tuple[Artifact, Release | None]:
    """Open the artifact that is to be served first, and read the release that names it, if there is one.

    Raises
    ------
    SklineError
        If the manifest is broken, or the artifact is not what its digest promises.
    """
    path = settings.release_path
    found = None if path is None else release(path)
    if found is None or path is None:
        return Artifact.open(settings.artifact, settings.expected_digest()), None
    return Artifact.open(path.parent / found.champion.artifact, found.champion.sha256), found


def release(path: Path) -> Release | None:
    """Read the manifest; None if there is none, SklineError if it is broken."""
    return manifest.read(path)


def check_same(artifact: Artifact, served: Artifact) -> None:
    """Refuse a champion of another contract: the routes were made for the first's."""
    if artifact.contract.digest() != served.contract.digest():
        raise ArtifactRefused(
            f"{artifact.version} has another contract than {served.version}; restart the service to serve it"
        )


def columns_of(artifact: Artifact, served: Artifact) -> tuple[str, ...] | None:
    """The inputs that a challenger reads out of the rows of a service; None if those are all.

    Raises
    ------
    ArtifactRefused
        If it reads what requests do not hold, or answers something else.
    """
    try:
        return fit.columns_of(artifact.contract, served.contract)
    except SklineError as error:
        raise ArtifactRefused(f"{artifact.version} cannot stand beside {served.version}: {error}") from None


def summary(given: Release) -> str:
    """A release in a few words."""
    words = given.champion.version
    if given.challenger is not None and given.experiment is not None:
        share = "unseen" if given.challenger.mode == "shadow" else f"for {given.challenger.weight * 100 / BUCKETS:g} %"
        words += f", {given.challenger.version} {share} ({given.experiment.kind} {given.experiment.name})"
    return words
