"""Sealed days: one Parquet file for each day (UTC), which is complete or does not exist.

A file's metadata holds the schema version that it was written with. Files without one are of the unversioned layout;
files of an older version are read as if they were of the current one, and are rewritten when rows are added or deleted.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.files import atomic_write, fsync
from skline.locks import file_lock
from skline.logs.records import StoredRow
from skline.logs.schema import SCHEMA_VERSION, TABLES, UNVERSIONED, TableName, migrations_since

#: Key of the schema version in a file's metadata.
VERSION_KEY = b"skline.log_schema"

_TIMESTAMP = pa.timestamp("us", tz="UTC")
#: Types of the columns that are not text.
_TYPES: dict[str, pa.DataType] = {
    "time": _TIMESTAMP,
    "event_time": _TIMESTAMP,
    "latency_us": pa.int64(),
    "bucket": pa.int64(),
    "review": pa.int64(),
}


def _arrow_schema(table: TableName) -> pa.Schema:
    """Return the typed schema of a table."""
    return pa.schema([(name, _TYPES.get(name, pa.string())) for name in TABLES[table]])


PREDICTION_SCHEMA = _arrow_schema("predictions")
LABEL_SCHEMA = _arrow_schema("labels")


def to_table(schema: pa.Schema, rows: Sequence[StoredRow]) -> pa.Table:
    """Convert rows of a database to a typed table."""
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        stored = pa.string() if pa.types.is_string(field.type) else pa.int64()
        arrays.append(pa.array(values, type=stored).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def file_of(folder: Path, day: dt.date) -> Path:
    """Return the path of a day's file."""
    return folder / f"{day.isoformat()}.parquet"


def sealed_days(folder: Path) -> dict[dt.date, Path]:
    """Return the sealed days and their files, in order."""
    return {dt.date.fromisoformat(path.stem): path for path in sorted(folder.glob("????-??-??.parquet"))}


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine from changing the sealed days; SklineError if one is doing that now.

    A process that was killed holds no lock; the temporary files that it left are removed.
    """
    message = f"another process is changing {folder}; wait until it is done"
    with file_lock(folder / ".lock", message):
        for temporary in folder.glob(".*.parquet.*"):
            temporary.unlink()
        yield


def add_rows(path: Path, chunks: Iterable[list[StoredRow]]) -> int:
    """Rewrite a day's file with additional rows, without those whose id it holds already.

    Returns
    -------
    int
        The number of rows in the file. On return the file and its name are durable.
    """
    known_ids = pq.read_table(path, columns=["prediction_id"])["prediction_id"] if path.exists() else None
    total = 0
    with atomic_write(path) as temporary, _new_file(temporary) as writer:
        for table in _row_groups(path):
            total += table.num_rows
            writer.write_table(table)
        for rows in chunks:
            table = to_table(PREDICTION_SCHEMA, rows)
            if known_ids is not None:
                table = table.filter(pc.invert(pc.is_in(table["prediction_id"], value_set=known_ids)))
            total += table.num_rows
            writer.write_table(table)
    fsync(path.parent)
    return total


def read_day(path: Path, since: dt.datetime | None, until: dt.datetime | None) -> pa.Table:
    """Read a day's rows of since ≤ time < until, with the columns of `PREDICTION_SCHEMA`."""
    bounds = [("time", sign, moment) for sign, moment in ((">=", since), ("<", until)) if moment is not None]
    with _readable(path):
        return _migrate(path, pq.read_table(path, filters=bounds or None))


def find_rows(path: Path, column: str, values: Sequence[str], names: Sequence[str]) -> pa.Table:
    """Return the rows of a file whose `column` has one of the values, with some columns of `PREDICTION_SCHEMA`."""
    stored = {name: name for name in PREDICTION_SCHEMA.names}
    schema = pa.schema([PREDICTION_SCHEMA.field(name) for name in names])
    with _readable(path):
        added: set[str] = set()
        for migration in migrations_since(_version_of(path, pq.read_schema(path))):
            stored |= {new: old for old, new in migration.renamed_columns.items()}
            added |= set(migration.added_columns)
        present = [name for name in names if name not in added]
        columns = [stored[name] for name in present]
        table = pq.read_table(path, columns=columns, filters=[(stored[column], "in", list(values))])
        table = _with_nulls(table.select(columns).rename_columns(present), added.intersection(names))
        return table.select(names).cast(schema)


def find_entity(path: Path, entity_hash: str) -> list[str]:
    """Return the ids of an entity's predictions in a file."""
    with _readable(path):
        table = pq.read_table(path, columns=["prediction_id"], filters=[("entity", "=", entity_hash)])
    ids: list[str] = table["prediction_id"].to_pylist()
    return ids


def delete_entity(folder: Path, entity_hash: str) -> int:
    """Rewrite the files that hold predictions of an entity without them; return their number.

    A file that holds no other rows is deleted.
    """
    deleted = 0
    for path in sealed_days(folder).values():
        rows = len(find_entity(path, entity_hash))
        if not rows:
            continue
        if rows == pq.read_metadata(path).num_rows:
            path.unlink()
        else:
            with atomic_write(path) as temporary, _new_file(temporary) as writer:
                for table in _row_groups(path):
                    writer.write_table(table.filter(pc.fill_null(pc.not_equal(table["entity"], entity_hash), True)))
        fsync(folder)
        deleted += rows
    return deleted


def delete_before(folder: Path, day: dt.date) -> int:
    """Delete the files of the days before `day`; return their number of rows."""
    rows = 0
    for sealed_day, path in sealed_days(folder).items():
        if sealed_day < day:
            rows += pq.read_metadata(path).num_rows
            path.unlink()
    fsync(folder)
    return rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the file in the error if it is damaged, as after a failure of the disk, or is no sealed day."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SklineError(
            f"{path} cannot be read as a sealed day ({one_line(error)}); restore it from a backup, or move it away: "
            "its predictions are then not in the log"
        ) from error


def _new_file(path: Path) -> pq.ParquetWriter:
    """Open a file of the current schema version for writing."""
    schema = PREDICTION_SCHEMA.with_metadata({VERSION_KEY: str(SCHEMA_VERSION)})
    return pq.ParquetWriter(path, schema, compression="zstd")


def _row_groups(path: Path) -> Iterator[pa.Table]:
    """Yield a file's row groups with the columns of `PREDICTION_SCHEMA`; none if the file does not exist."""
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for index in range(file.num_row_groups):
            yield _migrate(path, file.read_row_group(index))


def _migrate(path: Path, table: pa.Table) -> pa.Table:
    """Convert the rows of a file to the current schema version."""
    for migration in migrations_since(_version_of(path, table.schema)):
        names = [migration.renamed_columns.get(name, name) for name in table.column_names]
        table = _with_nulls(table.rename_columns(names), migration.added_columns)
    return table.select(PREDICTION_SCHEMA.names).cast(PREDICTION_SCHEMA)


def _with_nulls(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Add columns of nulls."""
    for name in names:
        table = table.append_column(name, pa.nulls(table.num_rows))
    return table


def _version_of(path: Path, schema: pa.Schema) -> int:
    """Return the schema version of a file; SklineError if it is newer than this code."""
    version = int((schema.metadata or {}).get(VERSION_KEY, UNVERSIONED))
    if version > SCHEMA_VERSION:
        raise SklineError(
            f"{path} has schema version {version}, and this version of skline supports at most {SCHEMA_VERSION}; "
            "upgrade skline"
        )
    return version
