"""The artifact with a digest: who confirms the digest, where the artifact is, and its verified bytes.

Opening an artifact deserialises its pipeline later, and a pickle can run any code. The log is written by the service,
and whoever can write to it could name an artifact of their own: a digest of the log alone confirms nothing.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from skline import paths
from skline.artifact import MANIFEST, Artifact, InvalidArtifact, read_digest
from skline.errors import SklineError
from skline.files import read_json_lines
from skline.registry.versions import Registry
from skline.release.fetching import fetch_version
from skline.release.journal import read_journal
from skline.release.manifest import Arm, Release, read_manifest
from skline.release.registered import RegisteredVersion
from skline.release.store import ReleaseStore


class ArtifactUnavailable(SklineError):
    """The artifact with a digest cannot be read here, or nothing but the log names its digest."""


@dataclass(frozen=True)
class ArtifactStore:
    """Where a project has artifacts, and what confirms their digests.

    Attributes
    ----------
    releases : ReleaseStore
    folders : tuple of Path
        Folders that may hold an artifact, besides the released ones.
    digest_file : Path
        The file with the digest of the artifact that passed its gates.
    registry : Registry or None
        From which a registered version is fetched; None: no registry is used.
    accepted : str or None
        A digest that a person accepts.
    """

    releases: ReleaseStore = field(default_factory=ReleaseStore)
    folders: tuple[Path, ...] = (paths.ARTIFACT, paths.CANDIDATE)
    digest_file: Path = paths.ARTIFACT_DIGEST
    registry: Registry | None = None
    accepted: str | None = None

    def registered(self, digest: str | None = None) -> tuple[RegisteredVersion, ...]:
        """Return the lines of the record of registered versions, of one digest or of all, in order."""
        lines = read_json_lines(self.releases.registered, RegisteredVersion).values
        return tuple(line for line in lines if digest is None or line.artifact_sha256 == digest)

    def confirmed_by(self, digest: str) -> tuple[str, ...]:
        """Return what names the digest outside of the log and of the artifact, for people; empty if nothing does."""
        found = [str(self.releases.registered)] if self.registered(digest) else []
        if self._admitted() == digest:
            found.append(str(self.digest_file))
        numbers = [str(number) for number, arm in self._arms() if arm.sha256 == digest]
        if numbers:
            found.append(f"release {', '.join(dict.fromkeys(numbers))}")
        if self.accepted == digest:
            found.append("--accept-digest")
        return tuple(found)

    def known_digests(self) -> tuple[str, ...]:
        """Return all digests that `confirmed_by` confirms, each once."""
        registered = [line.artifact_sha256 for line in self.registered()]
        others = [self._admitted(), *(arm.sha256 for _, arm in self._arms()), self.accepted]
        return tuple(dict.fromkeys([*registered, *(digest for digest in others if digest)]))

    def locations(self, digest: str) -> tuple[Path, ...]:
        """Return the folders whose manifest has the digest; their other files are not verified."""
        released = self.releases.artifacts / digest
        named = [self.releases.folder / arm.artifact for _, arm in self._arms() if arm.sha256 == digest]
        candidates = dict.fromkeys([released, *named, *self.folders])
        return tuple(folder for folder in candidates if _manifest_digest(folder) == digest)

    def open(self, digest: str) -> Artifact:
        """Return the artifact, verified; a registered version that is not here is fetched.

        Raises
        ------
        ArtifactUnavailable
            If nothing confirms the digest, or the artifact is neither here nor in the registry, or was changed.
        """
        if not self.confirmed_by(digest):
            raise ArtifactUnavailable(
                f"only the log names the artifact {digest[:12]}…, and {self.releases.registered}, {self.digest_file} "
                "and the releases do not: nothing of it is deserialised, because an artifact can run any code. If you "
                "trust it, pass its whole digest with --accept-digest"
            )
        problems = []
        for folder in self.locations(digest):
            try:
                return Artifact.open(folder, digest)
            except InvalidArtifact as error:
                problems.append(str(error))
        if problems:
            raise ArtifactUnavailable("; ".join(problems))
        return self._fetch(digest)

    def all_releases(self) -> list[Release]:
        """Return all releases, in order, with the one in force if the journal lacks it."""
        releases = [entry.release for entry in read_journal(self.releases.journal).entries]
        current = read_manifest(self.releases.manifest)
        if current is not None and current.number not in [release.number for release in releases]:
            releases.append(current)
        return releases

    def _fetch(self, digest: str) -> Artifact:
        """Fetch a registered version."""
        lines = self.registered(digest)
        gone = f"the artifact {digest[:12]}… is not here"
        if not lines:
            raise ArtifactUnavailable(f"{gone}, and {self.releases.registered} does not list it: restore its folder")
        label = f"{lines[-1].model}/{lines[-1].version}"
        if self.registry is None:
            raise ArtifactUnavailable(f"{gone}; it is {label} in the registry, which is not used here")
        registry = dataclasses.replace(self.registry, model=lines[-1].model)
        try:
            version = registry.find(lines[-1].version)
            if version.artifact_sha256 == digest:
                return fetch_version(registry, version.number, self.releases.registered, self.releases.artifacts)[1]
            problem = f"it has the digest {version.artifact_sha256[:12]}… there"
        except (SklineError, OSError) as error:  # such as a folder of releases that cannot be written
            problem = str(error)
        raise ArtifactUnavailable(f"{gone}, and cannot be fetched as {label}: {problem}")

    def _admitted(self) -> str | None:
        """Return the digest of the artifact that passed its gates; None if there is none."""
        try:
            return read_digest(self.digest_file)
        except InvalidArtifact:
            return None

    def _arms(self) -> Iterator[tuple[int, Arm]]:
        """Yield number and arms of all releases, in order."""
        for release in self.all_releases():
            for arm in release.arms:
                yield release.number, arm


def _manifest_digest(folder: Path) -> str | None:
    """Return the sha256 of the manifest in a folder; None if there is none."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None
