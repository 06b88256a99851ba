"""Trace data: which registered versions were made from a file, and which predictions these versions made."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.models import read_artifact_manifest
from skline.lineage.snapshots import DataFile, Snapshot, read_snapshot
from skline.lineage.usage import Usage, count_predictions
from skline.logs.settings import LogSettings

#: A sha256, or an md5 as DVC writes it.
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})|(?:md5:)?([0-9a-f]{32}(?:\.dir)?)")


@dataclass(frozen=True)
class ArtifactData:
    """An artifact with its data; `versions` are the names of its registered versions, NAME/NUMBER."""

    artifact_digest: str
    versions: tuple[str, ...]
    snapshot: Snapshot


@dataclass(frozen=True)
class VersionOfData:
    """An artifact that was made from the data: the files that match, and its predictions in the log."""

    artifact_digest: str
    versions: tuple[str, ...]
    files: tuple[DataFile, ...]
    usages: tuple[Usage, ...]


@dataclass(frozen=True)
class DataTrace:
    """The result of tracing data.

    Attributes
    ----------
    digests : tuple of str
        Of the data: sha256 and md5 of a file, or the digest that was given.
    found : tuple of VersionOfData
    unknown : tuple of str
        Registered versions whose data are not recorded here.
    """

    digests: tuple[str, ...]
    found: tuple[VersionOfData, ...]
    unknown: tuple[str, ...]


def trace_data(settings: LogSettings | None, store: ArtifactStore, requested: str, root: Path = Path()) -> DataTrace:
    """Find the artifacts that were made from a file or from data with a digest.

    Parameters
    ----------
    settings : LogSettings or None
        None: there is no log, and no prediction is counted.
    store : ArtifactStore
    requested : str
        A path, a sha256, or an md5 as DVC writes it.
    root : Path
        Root of the project.

    Raises
    ------
    SklineError
        If it is neither a file nor a digest, or the log cannot be read.
    """
    digests = digests_of(requested)
    found: list[VersionOfData] = []
    unknown: list[str] = []
    for artifact in artifacts_with_data(store, root):
        files = tuple(file for file in artifact.snapshot.files if file.digest in digests)
        if files:
            digest = artifact.artifact_digest
            usages = () if settings is None else count_predictions(settings, "artifact_digest", [digest])
            found.append(VersionOfData(digest, artifact.versions, files, tuple(usages)))
        elif not artifact.snapshot.files:
            unknown += artifact.versions or (artifact.artifact_digest,)
    return DataTrace(digests, tuple(found), tuple(unknown))


def artifacts_with_data(store: ArtifactStore, root: Path) -> Iterator[ArtifactData]:
    """Yield all artifacts on record with their data."""
    for digest in store.known_digests():
        manifest = read_artifact_manifest(store.locations(digest), digest)
        labels = (f"{line.model}/{line.version}" for line in store.registered(digest))
        yield ArtifactData(digest, tuple(dict.fromkeys(labels)), read_snapshot(root, digest, manifest))


def digests_of(requested: str) -> tuple[str, ...]:
    """Return sha256 and md5 of a file, or the digest that is given.

    Raises
    ------
    SklineError
        If it is neither.
    """
    if match := DIGEST.fullmatch(requested):
        return (match[1] or match[2],)
    try:
        with Path(requested).expanduser().open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (OSError, RuntimeError) as error:  # the latter for ~NAME of an unknown user
        raise SklineError(
            f"{requested!r} is no file that can be read ({one_line(error)}) and no digest; give a path, a sha256 or "
            "an md5"
        ) from None
    return sha256, md5
