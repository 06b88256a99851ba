"""A source that is read in parts, `source.mode: append`: each snapshot is a file of new rows; the table is the sum.

`skline source update` adds a snapshot, `data/source/snapshots/0001.parquet`; the state of the source that it reaches is
in the file. The stage ingest reads the snapshots and never the source, so that a run can be repeated.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skline.errors import SklineError
from skline.files import atomic_write
from skline.settings.source_append import AppendSettings
from skline.sources.many_files import Part, parts_stream
from skline.sources.source import NoRowsError, Snapshot, Stream, StreamedSource, TableSource
from skline.sources.tables import read_source

#: Key of a Parquet file's metadata: the state of the source after this snapshot, as JSON.
STATE = b"skline.snapshot"
RESTORE = "restore the snapshots with `dvc checkout`, or delete all of them to read the whole source again"


class AppendedSource(StreamedSource):
    """The sum of the snapshots in a folder.

    Of rows with the same id the latest is kept: that with the largest revision, of equal ones that of the later
    snapshot and the later row. The rows are in the order of the snapshots.
    Ids and revisions of all rows are in memory at once, and the rows are not.
    """

    no_rows = "the snapshots of the source have no rows"
    folder = Path()

    @classmethod
    def of(cls, source: TableSource, folder: Path) -> "AppendedSource":
        """Return the sum of the snapshots that were made of a source."""
        appended = cls(source.source, source.say)
        appended.folder = folder
        return appended

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:  # noqa: ARG002 (not incremental)
        """Read the snapshots, and drop the earlier revisions of rows."""
        files = list_snapshots(self.folder)
        if not files:
            raise SklineError(
                f"source.mode is append, and {self.folder} has no snapshot; run `uv run skline source update`"
            )
        parts = parts_stream([Part(path.name, path) for path in files], self.source, self.say)
        lineage = {name: value for name, value in parts.lineage.items() if name != "files"}
        lineage |= {"snapshots": parts.lineage["files"], "superseded": 0}
        batches = parts.batches
        if self.source.append.id:
            kept, lineage["superseded"] = _read_latest_rows(files, parts.schema, self.source.append)
            batches = _kept_rows(parts.batches, kept)
        yield Stream(parts.schema, batches, lineage, read_state(files[-1]))

    def snapshot(self) -> Snapshot | None:
        """Return the state of the source after the last snapshot; None without one."""
        files = list_snapshots(self.folder)
        return read_state(files[-1]) if files else None


def add_snapshot(source: TableSource, folder: Path) -> Path | None:
    """Read what is new, and write the next snapshot; None if nothing is.

    Raises
    ------
    SklineError
        If the source cannot be read in parts, or its earlier rows are not as they were.
    """
    files = list_snapshots(folder)
    since = read_state(files[-1]) if files else None
    if not source.incremental:
        raise SklineError(
            "source.mode is append, and this source cannot be read in parts: that needs a folder or a pattern of files "
            "or objects, a topic, a query with source.sql.watermark, a REST API with source.rest.since, or a table of "
            "Delta Lake or Iceberg without version, as_of and where in source.lake"
        )
    now = source.snapshot()
    if now is not None and now == since:
        return None
    try:
        with source.local(since) as table:
            rows, _ = read_source(table.path, source.source, None, source.say)
            state = table.snapshot
    except NoRowsError:
        if since is None:
            raise
        return None
    path = folder / f"{len(files) + 1:04}.parquet"
    with atomic_write(path) as temporary:
        pq.write_table(rows.replace_schema_metadata({STATE: json.dumps(state)}), temporary, compression="zstd")
    return path


def list_snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a folder, in order; SklineError if one is missing."""
    files = sorted(folder.glob("[0-9]*.parquet"))
    absent = sorted({path.with_suffix("") for path in folder.glob("[0-9]*.parquet.dvc")} - set(files))
    expected = [folder / f"{number:04}.parquet" for number in range(1, len(files) + 1)]
    if absent or files != expected:
        missing = absent or [path for path in expected if path not in files]
        raise SklineError(f"{missing[0]} is not here; {RESTORE}")
    return files


def read_state(path: Path) -> Snapshot:
    """Return the state of the source that a snapshot reaches."""
    try:
        state: Snapshot = json.loads((pq.read_schema(path).metadata or {})[STATE])
    except (KeyError, ValueError, OSError) as error:
        raise SklineError(f"{path} is not a snapshot of a source ({' '.join(str(error).split())}); {RESTORE}") from None
    return state


def _read_latest_rows(
    files: list[Path], schema: pa.Schema, settings: AppendSettings
) -> tuple[npt.NDArray[np.bool_], int]:
    """Return whether each row of the snapshots is kept, and how many are not; only ids and revisions are read."""
    _require_columns(schema.names, settings)
    names = _columns(settings)
    fields = pa.schema([schema.field(name) for name in names])
    keys = pa.concat_tables([pq.read_table(path, columns=names).select(names).cast(fields) for path in files])
    kept = np.zeros(keys.num_rows, dtype=np.bool_)
    kept[latest_rows(keys, settings)] = True
    return kept, int((~kept).sum())


def _kept_rows(batches: Iterator[pa.RecordBatch], kept: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    """Yield the rows that are kept."""
    first_row = 0
    for batch in batches:
        yield batch.filter(pa.array(kept[first_row : first_row + batch.num_rows]))
        first_row += batch.num_rows


def _columns(settings: AppendSettings) -> list[str]:
    """Return the columns that say which rows are the same, and which of them is the latest."""
    return list(dict.fromkeys([*settings.id, *([settings.revision] if settings.revision else [])]))


def _require_columns(names: list[str], settings: AppendSettings) -> None:
    """Raise SklineError if the source lacks a column of `settings`."""
    if absent := [name for name in _columns(settings) if name not in names]:
        raise SklineError(f"source.append names {absent}, which the source lacks; it has {names}")


def latest_rows(table: pa.Table, settings: AppendSettings) -> npt.NDArray[np.int64]:
    """Return the positions of the rows that no later revision supersedes, in ascending order.

    Rows in which a column of the id is missing are all kept.

    Raises
    ------
    SklineError
        If the table lacks a column of `settings`, or the revisions are neither numbers nor times.
    """
    _require_columns(table.column_names, settings)
    positions = np.arange(table.num_rows)
    if not settings.id:
        return positions
    keys = table.select(list(settings.id)).to_pandas()
    if settings.revision is not None:
        revisions = _comparable(table.column(settings.revision).to_pandas(), settings.revision)
        positions = revisions.sort_values(kind="stable", na_position="first").index.to_numpy()
    ordered = keys.iloc[positions]
    superseded = ordered.duplicated(keep="last") & ordered.notna().all(axis="columns")
    return np.sort(positions[~superseded.to_numpy()])


def _comparable(values: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """Return revisions in their order: numbers as numbers, times as times."""
    if not pd.api.types.is_string_dtype(values) and not pd.api.types.is_object_dtype(values):
        return values
    for convert in (pd.to_numeric, _to_times):
        try:
            return convert(values)
        except (ValueError, TypeError):
            continue
    raise SklineError(f"source.append.revision: {name!r} has values that are neither numbers nor times in ISO 8601")


def _to_times(values: "pd.Series[Any]") -> "pd.Series[Any]":
    return pd.to_datetime(values, format="ISO8601", utc=True)
