"""A copy of the release in object storage, in a folder of this machine, which the service follows like its own.

The copy changes only when every artifact of a new release is here and matches its digest: whatever is wrong in the
store, the folder holds the last good release, also for the next start.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skline import paths
from skline.artifact import MANIFEST, Artifact, InvalidArtifact, Manifest
from skline.errors import SklineError
from skline.files import write_bytes
from skline.release.artifacts import FETCHING, folder_to_fetch_into, move_fetched, remove_interrupted_fetches
from skline.release.manifest import Arm, Release, parse_manifest, read_manifest
from skline.release.object_storage import StoreUnavailable, first_line, open_store, read_object

#: Time limit of a request for the manifest, and for a file of an artifact.
MANIFEST_SECONDS, FILE_SECONDS = 5.0, 300.0
#: How long a release whose artifacts could not be fetched is left alone: each attempt reads them all.
RETRY_SECONDS = 10.0


class ReleaseMirror:
    """The copy in `folder` of the release at `address`.

    Parameters
    ----------
    address : str
        As s3://BUCKET/PREFIX/release.json.
    folder : Path
        Holds release.json and artifacts/, of this process and of earlier ones.
    stores : tuple, optional
        The client for the manifest, and the one for artifacts.
    clock : callable
        Returns the time in seconds.

    Attributes
    ----------
    failures : int
        How often the store did not respond.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        stores: tuple[Any, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._address, self._folder, self._clock = address, folder, clock
        self._name = address.rpartition("/")[2]
        self._store, self._files = stores or (
            open_store(address, MANIFEST_SECONDS)[0],
            open_store(address, FILE_SECONDS)[0],
        )
        self._etag: str | None = None
        self._failed: tuple[str | None, SklineError, float] | None = None  # ETag, its error, when to try again
        self._verified: set[str] = set()  # digests

    @property
    def manifest(self) -> Path:
        """The copy of the manifest."""
        return self._folder / paths.RELEASE.name

    def start(self) -> str | None:
        """Update the copy before a service starts; return a warning if it starts with an earlier copy.

        Raises
        ------
        SklineError
            If the store does not respond or its release is invalid, and there is no earlier copy.
        """
        try:
            self.update()
        except SklineError as error:
            if not self.manifest.exists():
                raise
            return f"{error}; starting with the release that was fetched before"
        return None

    def update(self) -> None:
        """Fetch the release if it has changed.

        Raises
        ------
        StoreUnavailable
            If the store does not respond; the copy is as it was.
        SklineError
            If the manifest is gone or not valid, or an artifact does not match its digest; the copy is as it was.
        """
        from obstore.exceptions import BaseError

        try:
            fetched = self._read_manifest()
            if fetched is None:
                return
            content, etag = fetched
            if self._failed and self._failed[0] == etag and self._clock() < self._failed[2]:
                raise self._failed[1]
            try:
                self._copy(content)
            except (SklineError, BaseError) as error:
                known = error if isinstance(error, SklineError) else self._unavailable(error)
                self._failed = etag, known, self._clock() + RETRY_SECONDS
                raise known from None
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from None
        self._etag, self._failed = etag, None

    def _read_manifest(self) -> tuple[bytes, str | None] | None:
        """Return the manifest and its ETag; None if it has not changed, or there has never been one."""
        import obstore
        from obstore.exceptions import NotFoundError, NotModifiedError

        try:
            options: Any = {"if_none_match": self._etag} if self._etag else None
            response = obstore.get(self._store, self._name, options=options)
        except NotModifiedError:
            return None
        except (NotFoundError, FileNotFoundError):
            if not self.manifest.exists():
                return None
            self._etag = None
            raise SklineError(f"{self._address} is gone; put it back. The release that was fetched stays") from None
        return bytes(response.bytes()), response.meta["e_tag"]

    def _copy(self, content: bytes) -> None:
        """Fetch the artifacts of a manifest, then replace the copy of the manifest."""
        release, before = parse_manifest(content, self._address), self._present()
        for arm in release.arms:
            self._ensure_artifact(arm)
        write_bytes(self.manifest, content)
        kept = {arm.sha256 for each in (release, before) if each is not None for arm in each.arms}
        artifacts = self._folder / paths.RELEASED.name
        remove_interrupted_fetches(artifacts)
        for path in artifacts.iterdir():
            if path.name not in kept and not path.name.startswith(FETCHING):  # another worker may still fetch
                shutil.rmtree(path, ignore_errors=True)

    def _present(self) -> Release | None:
        """Return the release that is copied; None if there is none, or its manifest is damaged."""
        try:
            return read_manifest(self.manifest)
        except SklineError:
            return None  # it is replaced now

    def _ensure_artifact(self, arm: Arm) -> None:
        """Fetch an artifact unless it is here, whole."""
        if arm.artifact != f"{paths.RELEASED.name}/{arm.sha256}":
            raise SklineError(
                f"{self._address}: the artifact of {arm.name} has to be {paths.RELEASED.name}/{arm.sha256}, and it is "
                f"{arm.artifact}; push the release again"
            )
        target = self._folder / arm.artifact
        if target.exists() and arm.sha256 not in self._verified:
            try:
                Artifact.open(target, arm.sha256)
            except InvalidArtifact:
                shutil.rmtree(target)
        if not target.exists():
            self._fetch_artifact(arm, target)
        self._verified.add(arm.sha256)

    def _fetch_artifact(self, arm: Arm, target: Path) -> None:
        """Fetch the files that the artifact's manifest lists, and verify them before they get their place."""
        with folder_to_fetch_into(target.parent) as new:
            manifest = self._read(arm, MANIFEST)
            if (actual := hashlib.sha256(manifest).hexdigest()) != arm.sha256:
                raise InvalidArtifact(
                    f"{arm.artifact}/{MANIFEST} of {self._address} has sha256 {actual}, not {arm.sha256}; push the "
                    "release again"
                )
            try:
                names = list(Manifest.model_validate_json(manifest).files)
            except ValidationError:
                raise InvalidArtifact(
                    f"{arm.artifact} of {self._address} is of a format unknown here; update skline in the service"
                ) from None
            (new / MANIFEST).write_bytes(manifest)
            for name in names:
                (new / name).write_bytes(self._read(arm, name))
            try:
                Artifact.open(new, arm.sha256)
            except InvalidArtifact as error:
                message = str(error).replace(str(new), f"{arm.artifact} of {self._address}")
                raise InvalidArtifact(message) from None
            move_fetched(new, target)

    def _read(self, arm: Arm, name: str) -> bytes:
        """Read a file of an artifact."""
        content = read_object(self._files, f"{arm.artifact}/{name}")
        if content is None:
            raise InvalidArtifact(f"{arm.artifact}/{name} is missing below {self._address}; push the release again")
        return content

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        """Count a failure of the store, and return it as an error."""
        self.failures += 1
        return StoreUnavailable(f"{self._address} cannot be read: {first_line(error)}")
