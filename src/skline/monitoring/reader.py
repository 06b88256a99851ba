"""Read a period of the log with bounded memory: DuckDB over the sealed days and a copy of the database's rows.

SQLite and PostgreSQL are read through the stores, in chunks, into a temporary file: DuckDB's own readers of them are
extensions that it downloads. Everything is then read twice, once to count and once to copy the rows that are compared:
of a large window a sample by the hash of the prediction id. Broken rows are counted and left out.

The sealed files are read several times. They are linked into the temporary folder first: one that is replaced or
deleted meanwhile stays as it was. The folder is next to the log, where there is room, and where the next run finds the
files of a killed one.
"""

import datetime as dt
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.logs.partitions import sealed_days
from skline.logs.read import require_log
from skline.logs.records import COMPARE_REQUEST_ID, StoredRow, from_us, to_us
from skline.logs.schema import TABLES
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import Store
from skline.monitoring.csv_stream import read_batches
from skline.monitoring.rows import JSON_TYPES, Rows, to_rows

#: Columns of the predictions that monitoring reads; experiments stay in the log.
COLUMNS = (
    "prediction_id", "time", "model_version", "artifact_digest", "scoring_path", "inputs", "prediction",
    "probabilities", "latency_us", "entity", "event_time", "review", "role", "arm", "request_id",
)  # fmt: skip
TEMPORARY_PREFIX = ".monitor-"
INTEGERS = ("time", "latency_us", "event_time", "review", "bucket")
#: Buckets of the hash that decides which rows of a large window are read.
HASH_BUCKETS = 1_000_000
VALID = "json_valid(inputs) AND json_valid(prediction) AND (probabilities IS NULL OR json_valid(probabilities))"


class Period(NamedTuple):
    """The predictions of since ≤ time < until, all of them or those that have a label."""

    since: dt.datetime
    until: dt.datetime
    labelled: bool = False


@dataclass(frozen=True)
class Summary:
    """Counts of all rows of a period, which is not sampled."""

    rows: int
    broken: int
    reviewed: int
    conflicting_labels: int
    by_path: dict[str, int]
    by_version: dict[str, int]
    by_digest: dict[str, int]
    latency_ms: dict[str, float]


class LogReader:
    """The log between two moments; a context manager, because it keeps temporary files.

    Parameters
    ----------
    settings : LogSettings
    contract : Contract
        Of the artifact, by which inputs and predictions are read.
    since, until : datetime
        The period that is needed, since ≤ time < until.
    asof : datetime
        Labels that arrived later are ignored.
    memory_mb : int
        Limit of the memory of the query engine, in MB.

    Raises
    ------
    SklineError
        If there is no log, or it cannot be read.
    """

    def __init__(
        self, settings: LogSettings, contract: Contract, since: dt.datetime, until: dt.datetime, asof: dt.datetime,
        memory_mb: int = 1_024,
    ) -> None:  # fmt: skip
        self._contract = contract
        self._columns = _logged_columns(settings, contract)
        require_log(settings)
        settings.folder.mkdir(parents=True, exist_ok=True)
        self._limits: dict[Period, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=settings.folder)
        self._db = duckdb.connect(config={"memory_limit": f"{memory_mb}MB", "temp_directory": self._folder.name})
        try:
            self._db.execute("SET TimeZone = 'UTC'")
            self._load(settings, to_us(since), to_us(until), to_us(asof))
        except duckdb.Error as error:
            self.close()
            raise SklineError(f"the prediction log cannot be read: {' '.join(str(error).split())[:300]}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Delete the temporary files."""
        self.close()

    def close(self) -> None:
        """Delete the temporary files."""
        self._db.close()
        self._folder.cleanup()

    def count(self, since: dt.datetime, until: dt.datetime) -> int:
        """Count the predictions of since ≤ time < until, without those of shadow scoring and of `skline compare`."""
        (rows,) = self._fetch("SELECT count(*) FROM predictions p WHERE " + _between(since, until))  # noqa: S608
        return int(rows[0])

    def summarize(self, since: dt.datetime, until: dt.datetime) -> Summary:
        """Count the predictions of since ≤ time < until."""
        where = _between(since, until)
        names = ", ".join(f"coalesce({name}, '')" for name in ("scoring_path", "model_version", "artifact_digest"))
        # One query with a histogram of each column takes five times as long and much memory.
        groups = self._fetch(
            f"SELECT {names}, count(*), count(*) FILTER (NOT ({VALID})), count(*) FILTER (review > 0) "  # noqa: S608
            f"FROM predictions p WHERE {where} GROUP BY ALL"
        )
        ((latency,),) = self._fetch(
            f"SELECT approx_quantile(latency_us, [0.5, 0.95, 0.99]) FROM predictions p WHERE {where}"  # noqa: S608
        )
        ((conflicting,),) = self._fetch(
            f"SELECT count(*) FROM predictions p WHERE {where} "  # noqa: S608
            "AND prediction_id IN (SELECT prediction_id FROM by_id WHERE contradictory)"
        )
        counts: list[Counter[str]] = [Counter(), Counter(), Counter()]
        for *values, rows, _, _ in groups:
            for counter, value in zip(counts, values, strict=True):
                counter[value] += int(rows)
        by_path, by_version, by_digest = (dict(sorted(each.items())) for each in counts)
        rows, broken, reviewed = (sum(int(group[index]) for group in groups) for index in (-3, -2, -1))
        return Summary(
            rows=rows,
            broken=broken,
            reviewed=reviewed,
            conflicting_labels=int(conflicting),
            by_path=by_path,
            by_version=by_version,
            by_digest=by_digest,
            latency_ms={name: value / 1_000 for name, value in zip(("p50", "p95", "p99"), latency or (), strict=False)
                        if value is not None},
        )  # fmt: skip

    def sample(self, periods: Sequence[Period], max_rows: int) -> None:
        """Copy the rows that `read` returns for some periods, in one pass over the log."""
        for period, rows in zip(periods, self._count_at_most(periods), strict=True):
            self._limits[period] = min(HASH_BUCKETS * max_rows // max(rows, 1), HASH_BUCKETS)
        bucket = f"hash(prediction_id) % {HASH_BUCKETS}"
        limit = max(self._limits[period] for period in periods)
        self._db.execute(
            "CREATE OR REPLACE TABLE sampled AS SELECT * FROM ("  # noqa: S608
            f"SELECT p.*, {bucket} AS bucket, "
            "CASE WHEN coalesce(i.n, -1) >= coalesce(e.n, -1) THEN i.label ELSE e.label END AS label "
            f"FROM (SELECT * FROM predictions WHERE {bucket} < {limit}) p LEFT JOIN by_id i USING (prediction_id) "
            "LEFT JOIN by_event e ON p.entity = e.entity AND p.event_time = e.event_time"
            f") p WHERE {' OR '.join(f'({self._condition(period)})' for period in periods)}"
        )

    def read(self, since: dt.datetime, until: dt.datetime, max_rows: int, *, labelled: bool = False) -> Rows:
        """Read the predictions of since ≤ time < until, at most about `max_rows`, with their labels.

        With `labelled`, only rows that have a label are read. A period that `sample` or an earlier call has copied is
        read from that copy.
        """
        period = Period(since, until, labelled)
        if period not in self._limits:
            self.sample([*self._limits, period], max_rows)
        structure = json.dumps({column.name: JSON_TYPES.get(column.kind, "VARCHAR") for column in self._columns})
        classes = json.dumps(dict.fromkeys(self._contract.class_names or (), "DOUBLE"))
        probabilities = f"json_transform(probabilities, {_quote(classes)})" if self._contract.classes else "NULL"
        table = self._db.sql(
            "SELECT time, coalesce(arm, role) AS arm, artifact_digest, entity, prediction, "  # noqa: S608
            f"coalesce(review, 0) AS review, json_transform(inputs, {_quote(structure)}) AS inputs, "
            f"{probabilities} AS probabilities, label FROM sampled p "
            f"WHERE {self._condition(period)} AND {VALID} ORDER BY time, prediction_id"
        ).to_arrow_table()
        return to_rows(table, self._contract, self._columns)

    def _condition(self, period: Period) -> str:
        """Return the condition of the rows of a period among those of `sampled`."""
        condition = f"{_between(period.since, period.until)} AND bucket < {self._limits[period]}"
        return f"{condition} AND label IS NOT NULL" if period.labelled else condition

    def _count_at_most(self, periods: Sequence[Period]) -> list[int]:
        """Return how many rows periods have at most: with labels, not more than labels arrived since their start."""
        filters = ", ".join(f"count(*) FILTER ({_between(each.since, each.until)})" for each in periods)
        whole = _between(min(each.since for each in periods), max(each.until for each in periods))
        (counts,) = self._fetch(f"SELECT {filters} FROM predictions p WHERE {whole}")  # noqa: S608
        return [
            min(int(rows), self._count_labels(each.since)) if each.labelled else int(rows)
            for each, rows in zip(periods, counts, strict=True)
        ]

    def _count_labels(self, since: dt.datetime) -> int:
        """Count the predictions and events whose last label arrived since then."""
        views = [f"SELECT count(*) FROM {view} WHERE arrived >= {to_us(since)}" for view in ("by_id", "by_event")]  # noqa: S608
        return sum(int(self._fetch(sql)[0][0]) for sql in views)

    def _load(self, settings: LogSettings, since: int, until: int, asof: int) -> None:
        """Copy the database's rows, declare the view `predictions`, and make the tables `by_id` and `by_event`.

        The database is read before the sealed days are listed: rows that are sealed meanwhile are found twice, not
        never, and the copies are removed.
        """
        with closing(open_store(settings)) as store:
            copy = self._copy(store, since, until)
            self._copy_labels(store.read("labels", None, asof + 1))
        first, last = from_us(since).date(), from_us(until).date()
        days = [path for day, path in sealed_days(settings.partitions).items() if first <= day <= last]
        paths = [str(link) for path in days if (link := link_or_copy(path, Path(self._folder.name))) is not None]
        selected = ", ".join(COLUMNS)
        parts = [f"SELECT {selected}, make_timestamptz(time) AS moment FROM read_parquet({_quote(str(copy))})"]  # noqa: S608
        if paths:
            self._declare_sealed(paths)
            self._db.execute(
                "CREATE TABLE doubled AS SELECT prediction_id FROM sealed "  # noqa: S608
                f"WHERE prediction_id IN (SELECT prediction_id FROM read_parquet({_quote(str(copy))}))"
            )
            parts[0] += " WHERE prediction_id NOT IN (SELECT prediction_id FROM doubled)"
            parts.append(f"SELECT {selected}, moment FROM sealed")  # noqa: S608
        self._db.execute(
            f"CREATE VIEW predictions AS SELECT * FROM ({' UNION ALL '.join(parts)}) WHERE role <> 'shadow' "  # noqa: S608
            f"AND NOT starts_with(coalesce(request_id, ''), {_quote(COMPARE_REQUEST_ID)})"
        )
        for view, keys in (("by_id", "prediction_id"), ("by_event", "entity, event_time")):
            condition = "prediction_id IS NOT NULL" if view == "by_id" else "prediction_id IS NULL"
            self._db.execute(
                f"CREATE TABLE {view} AS SELECT {keys}, max(n) AS n, arg_max(label, n) AS label, max(time) AS arrived, "  # noqa: S608
                f"min(label) <> max(label) AS contradictory FROM stored_labels "
                f"WHERE {condition} AND json_valid(label) GROUP BY {keys}"
            )

    def _declare_sealed(self, paths: list[str]) -> None:
        """Declare the view `sealed` over files of all schema versions."""
        files = f"read_parquet([{', '.join(map(_quote, paths))}], union_by_name = true)"
        names = {row[0] for row in self._fetch(f"DESCRIBE SELECT * FROM {files}")}  # noqa: S608
        old_path = [name for name in ("scoring_path", "path") if name in names]
        expressions = {name: name for name in COLUMNS} | {
            "scoring_path": f"coalesce({', '.join(old_path)})",
            "time": "epoch_us(time)",
            "event_time": "epoch_us(event_time)",
            "review": "CAST(review AS BIGINT)",
            "moment": "time",
        }
        self._db.execute(
            f"CREATE VIEW sealed AS SELECT {', '.join(f'{text} AS {name}' for name, text in expressions.items())} "  # noqa: S608
            f"FROM {files}"
        )

    def _copy(self, store: Store, since: int, until: int) -> Path:
        """Copy predictions of the database to a file; return its path."""
        path = Path(self._folder.name) / "stored.parquet"
        schema = _schema(COLUMNS)
        blocks = store.read_csv(COLUMNS, since, until)
        if blocks is None:
            batches = _to_batches(store.read("predictions", since, until), schema)
        else:
            batches = read_batches(blocks, schema)
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return path

    def _copy_labels(self, chunks: Iterator[list[StoredRow]]) -> None:
        """Copy labels to a table, numbered in the order of their arrival."""
        schema = _schema(tuple(TABLES["labels"]))

        def batches() -> Iterator[pa.RecordBatch]:
            for rows in chunks:
                columns = zip(zip(*rows, strict=True), schema, strict=True)
                arrays = [pa.array(values, type=field.type) for values, field in columns]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        stream = pa.RecordBatchReader.from_batches(schema, batches())
        self._db.register("stream", stream)
        self._db.execute("CREATE TABLE stored_labels AS SELECT *, row_number() OVER () AS n FROM stream")
        self._db.unregister("stream")

    def _fetch(self, sql: str) -> list[Any]:
        rows: list[Any] = self._db.sql(sql).fetchall()
        return rows


def link_or_copy(path: Path, folder: Path) -> Path | None:
    """Link a file into a folder, or copy it where links are not possible; None if it was deleted."""
    link = folder / path.name
    try:
        link.hardlink_to(path)
    except FileNotFoundError:
        return None
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, link)
    return link


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed monitor has left in the folder of the log. Call it while holding `monitor_lock`."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(leftover)


def _logged_columns(settings: LogSettings, contract: Contract) -> list[Column]:
    """Return the inputs that the log stores."""
    names = contract.input_names if settings.columns is None else settings.columns
    return [column for column in contract.inputs if column.name in names and column.name != settings.entity_column]


def _between(since: dt.datetime, until: dt.datetime) -> str:
    # On the timestamp that the sealed files hold: those of other days are not opened.
    return f"p.moment >= make_timestamptz({to_us(since)}) AND p.moment < make_timestamptz({to_us(until)})"


def _to_batches(chunks: Iterator[list[StoredRow]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Convert predictions to the columns of a schema."""
    names = list(TABLES["predictions"])
    kept = [names.index(name) for name in schema.names]
    for rows in chunks:
        columns = list(zip(*rows, strict=True))
        arrays = [pa.array(columns[index], type=field.type) for index, field in zip(kept, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _schema(names: Sequence[str]) -> pa.Schema:
    """Return the types in which the database's columns are copied."""
    return pa.schema([(name, pa.int64() if name in INTEGERS else pa.string()) for name in names])


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
