"""Sealed days: one Parquet file a day of UTC, whole or not there."""

import datetime as dt
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline.errors import SklineError
from skline.files import replacing, sync
from skline.logs.records import LABELS, PREDICTIONS, Row

MOMENT = pa.timestamp("us", tz="UTC")
#: What is no text.
TYPES: dict[str, pa.DataType] = {
    "time": MOMENT,
    "event_time": MOMENT,
    "latency_us": pa.int64(),
    "bucket": pa.int64(),
    "review": pa.bool_(),
}
PREDICTION_SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in PREDICTIONS])
LABEL_SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in LABELS])


def to_table(schema: pa.Schema, rows: Sequence[Row]) -> pa.Table:
    """Turn a store's rows into a typed table."""
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        stored = pa.string() if pa.types.is_string(field.type) else pa.int64()
        arrays.append(pa.array(values, type=stored).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def path_of(folder: Path, day: dt.date) -> Path:
    """File of a day."""
    return folder / f"{day.isoformat()}.parquet"


def days(folder: Path) -> dict[dt.date, Path]:
    """The sealed days and their files, in order."""
    return {dt.date.fromisoformat(path.stem): path for path in sorted(folder.glob("????-??-??.parquet"))}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine from changing the sealed days at the same time; SklineError if one does.

    A process that was killed holds no lock; the temporary files that it left are removed.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SklineError(f"another process is changing {folder}; wait until it is done") from None
        for left in folder.glob(".*.parquet.*"):
            left.unlink()
        yield


def add(path: Path, chunks: Iterable[list[Row]]) -> int:
    """Add rows to a day's file by writing it anew; rows whose id it has already are left out.

    Returns
    -------
    How many rows it has now. When this returns, the file is on the disk and so is its name.
    """
    known = pq.read_table(path, columns=["prediction_id"])["prediction_id"] if path.exists() else None
    total = 0
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, PREDICTION_SCHEMA, compression="zstd") as writer:
            for table in _tables(path):
                total += table.num_rows
                writer.write_table(table)
            for rows in chunks:
                table = to_table(PREDICTION_SCHEMA, rows)
                if known is not None:
                    table = table.filter(pc.invert(pc.is_in(table["prediction_id"], value_set=known)))
                total += table.num_rows
                writer.write_table(table)
        if path.exists():
            shutil.copymode(path, temporary)
    sync(path.parent)
    return total


def forget(folder: Path, entity: str) -> list[str]:
    """Write the files anew that hold predictions of an entity (its hash), without them; return those predictions' ids.

    Nothing of it is left: a file without other rows is deleted.
    """
    gone: list[str] = []
    for path in days(folder).values():
        ids = find(path, entity)
        if not ids:
            continue
        if len(ids) == pq.read_metadata(path).num_rows:
            path.unlink()
        else:
            with (
                replacing(path) as temporary,
                pq.ParquetWriter(temporary, PREDICTION_SCHEMA, compression="zstd") as new,
            ):
                for table in _tables(path):
                    new.write_table(table.filter(pc.fill_null(pc.not_equal(table["entity"], entity), True)))
        sync(folder)
        gone += ids
    return gone


def find(path: Path, entity: str) -> list[str]:
    """Ids of an entity's predictions in one file."""
    found: list[str] = pq.read_table(path, columns=["prediction_id"], filters=[("entity", "=", entity)])[
        "prediction_id"
    ].to_pylist()
    return found


def remove_before(folder: Path, day: dt.date) -> int:
    """Delete the files of the days before `day`; return how many rows they had."""
    rows = 0
    for sealed, path in days(folder).items():
        if sealed < day:
            rows += pq.read_metadata(path).num_rows
            path.unlink()
    sync(folder)
    return rows


def read(path: Path, since: dt.datetime | None, until: dt.datetime | None) -> pa.Table:
    """Read a day's rows of since ≤ time < until."""
    within = [("time", sign, moment) for sign, moment in ((">=", since), ("<", until)) if moment is not None]
    return pq.read_table(path, schema=PREDICTION_SCHEMA, filters=within or None)


def _tables(path: Path) -> Iterator[pa.Table]:
    """Yield a file's row groups one by one; none if it is not there."""
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for index in range(file.num_row_groups):
            yield file.read_row_group(index).cast(PREDICTION_SCHEMA)
