"""Fetch a version from the registry: only if the record of registered versions, or a person, confirms its digest."""

from functools import partial
from pathlib import Path

from skline.artifact import Artifact
from skline.errors import SklineError
from skline.registry.versions import Registry, Version
from skline.release.artifacts import ensure_artifact
from skline.release.registered import RegisteredVersion, find_registered


def confirm_digest(record: Path, version: Version, accepted_digest: str | None) -> RegisteredVersion | None:
    """Return the record's line about a version; None if a person accepted its digest.

    Parameters
    ----------
    record : Path
        The record of registered versions.
    version : Version
        What the registry says.
    accepted_digest : str or None
        Of the artifact, from a person.

    Raises
    ------
    SklineError
        If neither the record nor the person names the digest that the registry names.
    """
    if accepted_digest is None:
        return find_registered(record, version.name, version.number, version.artifact_sha256)
    if accepted_digest != version.artifact_sha256:
        raise SklineError(
            f"{version.label} has the digest {version.artifact_sha256[:12]}… in the registry, and not the accepted "
            f"{accepted_digest[:12]}…; it was not fetched"
        )
    return None


def fetch_version(
    registry: Registry, requested: str | None, record: Path, folder: Path, accepted_digest: str | None = None
) -> tuple[Version, Artifact]:
    """Find a version and fetch its artifact into `folder`, which holds artifacts by digest.

    Raises
    ------
    SklineError
        If there is no such version, its digest is not confirmed, or its artifact is not what the digest says. Nothing
        is deserialised before both are checked.
    """
    version = registry.find(requested)
    confirm_digest(record, version, accepted_digest)
    return version, ensure_artifact(folder, version.artifact_sha256, partial(registry.download, version))
