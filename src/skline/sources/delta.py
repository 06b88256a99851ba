"""A Delta Lake table as a source: `delta:///PATH`, `delta+s3://BUCKET/PATH`, `delta+gs://…`, `delta+az://…`.

The version of the table is the snapshot. Versions that change no rows, such as those of OPTIMIZE and VACUUM, are not
distinguished from the one before.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from skline.clock import to_utc
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.sources.lake import (
    LakeRows,
    LakeSource,
    from_milliseconds,
    listing,
    plain_batches,
    selected,
)
from skline.sources.source import Snapshot
from skline.sources.store_errors import StoreErrors, translated_store_errors

#: Operations of the log that leave the rows as they are.
SAME_ROWS = {"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "ADD CONSTRAINT",
             "DROP CONSTRAINT", "ADD FEATURE", "UPGRADE PROTOCOL", "CREATE CHECKPOINT", "FSCK", "UPDATE TABLE METADATA",
             "UPDATE FIELD METADATA", "COMPUTE STATS"}  # fmt: skip
ERRORS = StoreErrors(
    absent=(TableNotFoundError,),
    absent_text="Delta Lake table at {uri}",
    advice="the credentials are those of the environment: AWS_…, GOOGLE_…, AZURE_…",
    failures=(DeltaError, pa.ArrowInvalid, OSError, ValueError),
)


class Commit(NamedTuple):
    """A version in the log of a table: its number, its time in milliseconds, and what made it."""

    version: int
    timestamp: int
    operation: str


class DeltaSource(LakeSource):
    """A table of Delta Lake."""

    def snapshot(self) -> Snapshot:
        """Return the table's id, and the last version until the one that is read whose rows are others."""
        with translated_store_errors(self.source.uri, ERRORS):
            latest = self._table()
            commits = log_of(latest)
            return _snapshot(latest, commits, self._version(commits))

    def rows(self, columns: Sequence[str] | None, since: Snapshot | None) -> LakeRows:
        """Open the version that `source.lake` selects; see `LakeSource`."""
        with translated_store_errors(self.source.uri, ERRORS):
            latest = self._table()
            commits = log_of(latest)
            version = self._version(commits)
            table = self._table(version)
            schema = pa.schema(table.schema().to_arrow())
            chosen = pa.schema([schema.field(name) for name in selected(schema.names, columns)])
        snapshot = _snapshot(latest, commits, version)
        lineage: dict[str, object] = {"table": snapshot["table"], "version": version}
        if since is not None:
            lineage |= {"added_since": since["version"]}
            batches = self._added(table, commits, since, chosen)
        else:
            batches = self._read(table, chosen, version, commits)
        return LakeRows(chosen, batches, schema.names, lineage, snapshot)

    def _table(self, version: int | None = None) -> DeltaTable:
        """Open the log of the table at a version, by default the latest."""
        uri = self.source.uri.removeprefix("delta:///").removeprefix("delta+")
        return DeltaTable(uri, version=version, storage_options=storage_options(uri))

    def _version(self, commits: Sequence[Commit]) -> int:
        """Return the version to read; SklineError if the log does not have it."""
        states = [(each.version, from_milliseconds(each.timestamp)) for each in commits]
        if self.settings.as_of is not None:
            moment = to_utc(self.settings.as_of)
            earlier = [version for version, time in states if time <= moment]
            if not earlier:
                raise SklineError(
                    f"source.lake.as_of: the log of the table has no version as old as {moment:%Y-%m-%d %H:%M:%S} UTC; "
                    f"it has {listing(states)}"
                )
            return earlier[-1]
        version = self.settings.version
        if version is not None and version not in {number for number, _ in states}:
            raise SklineError(
                f"source.lake.version: the log of the table has no version {version}; it has {listing(states)}"
            )
        return commits[-1].version if version is None else version

    def _read(
        self, table: DeltaTable, schema: pa.Schema, version: int, commits: Sequence[Commit]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a version; an error says which versions are still there."""
        try:
            yield from scan(table, schema, self.settings.where)
        except (DeltaError, pa.ArrowInvalid, OSError, ValueError) as error:
            first = self._first_readable(commits)
            if first is None or version >= first:
                raise SklineError(f"source.uri: cannot read {self.source.uri!r}: {one_line(error)}") from error
            raise SklineError(
                f"source.lake: files of version {version} of the table are gone (VACUUM deletes what later versions do "
                f"not need); versions {first} to {commits[-1].version} can be read: set source.lake.version to one"
            ) from error

    def _first_readable(self, commits: Sequence[Commit]) -> int | None:
        """Return the first version whose files are all there; None if those of the latest are not.

        VACUUM deletes the files of the oldest versions, so that the readable ones are the last.
        """
        low, high = 0, len(commits) - 1
        if not self._is_readable(commits[high].version):
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_readable(commits[middle].version) else (middle + 1, high)
        return commits[low].version

    def _is_readable(self, version: int) -> bool:
        """Whether every file of a version can be opened; one column is read."""
        try:
            table = self._table(version)
            for _ in scan(table, pa.schema([pa.schema(table.schema().to_arrow()).field(0)]), None):
                pass
        except (DeltaError, pa.ArrowInvalid, OSError):
            return False
        return True

    def _added(
        self, table: DeltaTable, commits: Sequence[Commit], since: Snapshot, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the files that were added after a snapshot."""
        check_log(table, commits, since)
        with translated_store_errors(self.source.uri, ERRORS):
            whole = pa.schema(table.schema().to_arrow())
            before = set(self._table(since["version"]).file_uris())
            for commit in (each for each in commits if since["version"] < each.version <= table.version()):
                current = self._table(commit.version)
                after = set(current.file_uris())
                if commit.operation not in SAME_ROWS:
                    check_only_added(commit, before - after)
                    yield from rows_of_files(current, commit, after - before, whole, schema)
                before = after


def storage_options(uri: str) -> dict[str, str] | None:
    """Return what the library needs besides the environment: plain HTTP, if an endpoint is one."""
    plain = any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))
    return {"allow_http": "true"} if plain and uri.startswith(("s3://", "s3a://")) else None


def log_of(table: DeltaTable) -> list[Commit]:
    """Return the versions in the log, the oldest first."""
    commits = (Commit(each["version"], each["timestamp"], each.get("operation", "")) for each in table.history())
    return sorted(commits)


def scan(table: DeltaTable, schema: pa.Schema, where: str | None) -> Iterator[pa.RecordBatch]:
    """Yield rows, with deletion vectors and renamed columns applied."""
    reader: Any = pa.RecordBatchReader.from_stream(table.scan(columns=schema.names, predicate=where))
    return plain_batches(reader, schema)


def rows_of_files(
    table: DeltaTable, commit: Commit, uris: set[str], whole: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some files of a version; SklineError if a file is gone.

    `whole` are the columns of the latest version, which a file may lack, `schema` those that are read.
    """
    names = {uri.rpartition("/")[2] for uri in uris}
    for fragment in table.to_pyarrow_dataset(schema=whole).get_fragments():
        if fragment.path.rpartition("/")[2] in names:
            try:
                yield from plain_batches(fragment.to_batches(schema=whole, columns=schema.names), schema)
            except FileNotFoundError as error:
                raise SklineError(
                    f"source.uri: what version {commit.version} of the table added is unknown: VACUUM deleted its "
                    f"files ({fragment.path}); delete the snapshots to read the whole table again"
                ) from error


def check_only_added(commit: Commit, removed: set[str]) -> None:
    """Raise SklineError if a version removed files, and so changed rows."""
    if removed:
        raise SklineError(
            f"source.uri: version {commit.version} of the table ({commit.operation}) changed or removed rows, and "
            "source.mode is append; set source.mode to full, or delete the snapshots to read the whole table again"
        )


def check_log(table: DeltaTable, commits: Sequence[Commit], since: Snapshot) -> None:
    """Raise SklineError if the log does not say what was added after an earlier snapshot."""
    if since.get("table") != table.metadata().id:
        raise SklineError(
            "source.uri is another table than the one that the snapshots are of; delete the snapshots to read it"
        )
    if since["version"] < commits[0].version:
        raise SklineError(
            f"source.uri: what was added since version {since['version']} is unknown: the log of the table begins with "
            f"version {commits[0].version}; delete the snapshots to read the whole table again"
        )


def _snapshot(table: DeltaTable, commits: Sequence[Commit], version: int) -> Snapshot:
    """Return the table's id, and the last version until `version` that changed rows."""
    until = [each for each in commits if each.version <= version]
    changing = [each.version for each in until if each.operation not in SAME_ROWS]
    return {"table": table.metadata().id, "version": changing[-1] if changing else until[0].version}
