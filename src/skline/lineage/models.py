"""What is recorded about an artifact: its manifest, the registered versions, MLflow's run, and where it is now."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from skline.artifact import MANIFEST, Manifest
from skline.errors import SklineError
from skline.lineage.artifacts import ArtifactStore
from skline.release.manifest import read_manifest
from skline.release.registered import RegisteredVersion


@dataclass(frozen=True)
class RegistryEntry:
    """A version as the registry describes it now: its run and its aliases; or why the registry cannot be read."""

    label: str
    run_id: str | None = None
    aliases: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class ModelRecord:
    """What is recorded about one artifact.

    Attributes
    ----------
    artifact_digest : str
    confirmed_by : tuple of str
        What names the digest, besides the log; see `ArtifactStore.confirmed_by`.
    folders : tuple of Path
        Where the artifact is on this machine.
    served_as : tuple of str
        Its arms in the release that is in force.
    registered : tuple of RegisteredVersion
        Its lines in the record of registered versions, in order.
    registry : RegistryEntry or None
        None if it is not registered, or no registry is used.
    manifest : Manifest or None
        Verified by the digest; None if the artifact is not here.
    """

    artifact_digest: str
    confirmed_by: tuple[str, ...]
    folders: tuple[Path, ...]
    served_as: tuple[str, ...]
    registered: tuple[RegisteredVersion, ...]
    registry: RegistryEntry | None
    manifest: Manifest | None

    @property
    def git_commit(self) -> str | None:
        """The commit that it was registered from last; None if it is unknown."""
        return self.registered[-1].git_commit if self.registered else None


def read_model(store: ArtifactStore, digest: str) -> ModelRecord:
    """Collect what is recorded about an artifact; nothing is deserialised but JSON."""
    folders, registered = store.locations(digest), store.registered(digest)
    release = read_manifest(store.releases.manifest)
    arms = [] if release is None else [arm for arm in release.arms if arm.sha256 == digest]
    return ModelRecord(
        artifact_digest=digest,
        confirmed_by=store.confirmed_by(digest),
        folders=folders,
        served_as=tuple(f"{arm.name} of release {release.number}" for arm in arms) if release else (),
        registered=registered,
        registry=_ask_registry(store, registered),
        manifest=read_artifact_manifest(folders, digest),
    )


def read_artifact_manifest(folders: Sequence[Path], digest: str) -> Manifest | None:
    """Return the manifest with this digest from the first of the folders that holds it; None if none does."""
    for folder in folders:
        try:
            content = (folder / MANIFEST).read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                return Manifest.model_validate_json(content)
        except (OSError, ValidationError):
            continue
    return None


def _ask_registry(store: ArtifactStore, registered: Sequence[RegisteredVersion]) -> RegistryEntry | None:
    """Return what the registry says about the newest registered version."""
    if store.registry is None or not registered:
        return None
    line = registered[-1]
    label, registry = f"{line.model}/{line.version}", dataclasses.replace(store.registry, model=line.model)
    try:
        version = registry.find(line.version)
        if version.artifact_sha256 != line.artifact_sha256:
            problem = f"{label} is another artifact there, {version.artifact_sha256[:12]}…: it is of another registry"
            return RegistryEntry(label, problem=problem)
        aliases = registry.aliases()
    except SklineError as error:
        return RegistryEntry(label, problem=str(error))
    names = tuple(sorted(alias for alias, number in aliases.items() if number == version.number))
    return RegistryEntry(label, version.run_id, names)
