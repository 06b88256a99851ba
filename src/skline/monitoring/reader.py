"""Read a stretch of the log with bounded memory: DuckDB over the sealed days and a copy of the database's rows.

SQLite and PostgreSQL are read through the stores, in chunks, into a temporary table that DuckDB moves to disk if it
exceeds the memory limit: DuckDB's own readers of them are extensions that it downloads. Large windows are reduced to a
sample by the hash of the prediction id. Broken rows are counted and left out.

The sealed files are read several times. They are linked into the temporary folder first: one that is replaced or
deleted meanwhile stays as it was. The folder is next to the log, where there is room, and where the next run finds what
a killed one has left.
"""

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.logs.partitions import sealed_days
from skline.logs.read import require_log
from skline.logs.records import COMPARE_REQUEST_ID, StoredRow, from_us, to_us
from skline.logs.schema import TABLES, TableName
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.clusters import Codes, Floats

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
#: How DuckDB reads a column of a kind from JSON; a value of another type becomes null.
JSON_TYPES = {"number": "DOUBLE", "integer": "DOUBLE"}


@dataclass(frozen=True)
class Rows:
    """n predictions with their labels.

    Attributes
    ----------
    times : int64 array, shape (n,)
        In microseconds since 1970, UTC; ascending.
    arms, digests : object arrays, shape (n,)
        The arm of the experiment, or the role; the digest of the artifact.
    reviews : int64 array, shape (n,)
        Why people review the row: 0 not at all, 1 for its score, 2 drawn at random.
    entities : int64 array, shape (n,), or None
        -1 for a row without an entity; None if no row has one.
    scores : float64 array, shape (n,)
        Probability of the second of two classes, the largest of more, or the predicted number.
    probabilities : float64 array, shape (n, n_classes), or None
    predicted : float64 array, shape (n,)
        The number of the predicted class, or the predicted number.
    truth : float64 array, shape (n,)
        The number of the true class, or the true number; NaN where there is no label.
    inputs : dict of str to array of shape (n,)
        float64 with NaN for numbers and times (days since 1970), else text with None.
    """

    times: npt.NDArray[np.int64]
    arms: npt.NDArray[Any]
    digests: npt.NDArray[Any]
    reviews: npt.NDArray[np.int64]
    entities: Codes | None
    scores: Floats
    probabilities: Floats | None
    predicted: Floats
    truth: Floats
    inputs: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.times)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which rows have a label, shape (n,)."""
        return np.isfinite(self.truth)

    def take(self, rows: npt.NDArray[Any]) -> "Rows":
        """Return some rows, selected by a bool array or by positions."""
        return Rows(
            self.times[rows], self.arms[rows], self.digests[rows], self.reviews[rows],
            None if self.entities is None else self.entities[rows], self.scores[rows],
            None if self.probabilities is None else self.probabilities[rows], self.predicted[rows], self.truth[rows],
            {name: values[rows] for name, values in self.inputs.items()},
        )  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """Counts of all rows of a stretch, which is not sampled."""

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
        The stretch that is needed, since ≤ time < until.
    asof : datetime
        Labels that arrived later do not exist.
    memory_mb : int
        Limit of the query engine.

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
        ((rows, broken, reviewed, *latency),) = self._fetch(
            f"SELECT count(*), count(*) FILTER (NOT ({VALID})), count(*) FILTER (review > 0), "  # noqa: S608
            "approx_quantile(latency_us, 0.5), approx_quantile(latency_us, 0.95), approx_quantile(latency_us, 0.99) "
            f"FROM predictions p WHERE {where}"
        )
        counts = {
            name: dict(
                self._fetch(
                    f"SELECT coalesce({name}, ''), count(*) FROM predictions p WHERE {where} GROUP BY 1 ORDER BY 1"  # noqa: S608
                )
            )
            for name in ("scoring_path", "model_version", "artifact_digest")
        }
        ((conflicting,),) = self._fetch(
            f"SELECT count(*) FROM predictions p JOIN by_id l USING (prediction_id) WHERE {where} AND l.contradictory"  # noqa: S608
        )
        return Summary(
            rows=int(rows),
            broken=int(broken),
            reviewed=int(reviewed),
            conflicting_labels=int(conflicting),
            by_path=counts["scoring_path"],
            by_version=counts["model_version"],
            by_digest=counts["artifact_digest"],
            latency_ms={name: value / 1_000 for name, value in zip(("p50", "p95", "p99"), latency, strict=True)
                        if value is not None},
        )  # fmt: skip

    def read(self, since: dt.datetime, until: dt.datetime, max_rows: int, *, labelled: bool = False) -> Rows:
        """Read the predictions of since ≤ time < until, at most about `max_rows`, with their labels.

        With `labelled`, only rows that have a label are read.
        """
        where = f"{_between(since, until)} AND {VALID}"
        if labelled:
            where += " AND coalesce(i.label, e.label) IS NOT NULL"
        joined = (
            "FROM predictions p LEFT JOIN by_id i USING (prediction_id) "
            "LEFT JOIN by_event e ON p.entity = e.entity AND p.event_time = e.event_time "
        )
        ((total,),) = self._fetch(f"SELECT count(*) {joined} WHERE {where}")
        if total > max_rows:
            where += f" AND hash(prediction_id) % {HASH_BUCKETS} < {HASH_BUCKETS * max_rows // total}"
        structure = json.dumps({column.name: JSON_TYPES.get(column.kind, "VARCHAR") for column in self._columns})
        classes = json.dumps(dict.fromkeys(self._contract.class_names or (), "DOUBLE"))
        probabilities = f"json_transform(probabilities, {_quote(classes)})" if self._contract.classes else "NULL"
        table = self._db.sql(
            "SELECT p.time AS time, coalesce(p.arm, p.role) AS arm, artifact_digest, p.entity AS entity, prediction, "
            "coalesce(review, 0) AS review, "
            f"json_transform(inputs, {_quote(structure)}) AS inputs, "
            f"{probabilities} AS probabilities, "
            f"CASE WHEN coalesce(i.n, -1) >= coalesce(e.n, -1) THEN i.label ELSE e.label END AS label "
            f"{joined} WHERE {where} ORDER BY p.time, prediction_id"
        ).to_arrow_table()
        return self._to_rows(table)

    def _to_rows(self, table: pa.Table) -> Rows:
        """Convert the result of the query in `read`."""
        inputs = table["inputs"].combine_chunks()
        probabilities = None
        predicted, truth = (_numbers(table[name], self._contract) for name in ("prediction", "label"))
        scores = predicted
        if self._contract.classes is not None:
            parts = table["probabilities"].combine_chunks()
            fields = [parts.field(index) for index in range(len(self._contract.classes))]
            probabilities = np.array([field.to_numpy(zero_copy_only=False) for field in fields], dtype=np.float64).T
            scores = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1, initial=0.0)
        known = np.isfinite(scores)
        entities = table["entity"].combine_chunks().dictionary_encode().indices
        has_entities = entities.null_count < len(entities)
        rows = Rows(
            times=table["time"].to_numpy(),
            arms=np.array(table["arm"].to_pylist(), dtype=object),
            digests=np.array(table["artifact_digest"].to_pylist(), dtype=object),
            reviews=table["review"].to_numpy(),
            entities=entities.fill_null(-1).to_numpy().astype(np.int64) if has_entities else None,
            scores=scores,
            probabilities=probabilities,
            predicted=predicted,
            truth=truth,
            inputs={column.name: _column(inputs.field(i), column) for i, column in enumerate(self._columns)},
        )
        return rows if known.all() else rows.take(known)

    def _load(self, settings: LogSettings, since: int, until: int, asof: int) -> None:
        """Copy the database's rows, and declare the views `predictions`, `by_id` and `by_event`.

        The database is read before the sealed days are listed: rows that are sealed meanwhile are found twice, not
        never, and the copies are removed.
        """
        with closing(open_store(settings)) as store:
            self._copy("predictions", store.read("predictions", since, until))
            self._copy("labels", store.read("labels", None, asof + 1))
        first, last = from_us(since).date(), from_us(until).date()
        days = [path for day, path in sealed_days(settings.partitions).items() if first <= day <= last]
        paths = [str(link) for path in days if (link := snapshot(path, Path(self._folder.name))) is not None]
        selected = ", ".join(COLUMNS)
        parts = [f"SELECT {selected} FROM stored_predictions"]  # noqa: S608
        if paths:
            self._declare_sealed(paths)
            self._db.execute("DELETE FROM stored_predictions WHERE prediction_id IN (SELECT prediction_id FROM sealed)")
            parts.append(f"SELECT {selected} FROM sealed")  # noqa: S608
        self._db.execute(
            f"CREATE VIEW predictions AS SELECT * FROM ({' UNION ALL '.join(parts)}) WHERE role <> 'shadow' "  # noqa: S608
            f"AND NOT starts_with(coalesce(request_id, ''), {_quote(COMPARE_REQUEST_ID)})"
        )
        for view, keys in (("by_id", "prediction_id"), ("by_event", "entity, event_time")):
            condition = "prediction_id IS NOT NULL" if view == "by_id" else "prediction_id IS NULL"
            self._db.execute(
                f"CREATE TABLE {view} AS SELECT {keys}, max(n) AS n, arg_max(label, n) AS label, "  # noqa: S608
                f"count(DISTINCT label) > 1 AS contradictory FROM stored_labels "
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
        }
        self._db.execute(
            f"CREATE VIEW sealed AS SELECT {', '.join(f'{text} AS {name}' for name, text in expressions.items())} "  # noqa: S608
            f"FROM {files}"
        )

    def _copy(self, table: TableName, chunks: Iterator[list[StoredRow]]) -> None:
        """Copy rows of the database to a temporary table, numbered in the order of their arrival."""
        names = list(TABLES[table])
        kept = [index for index, name in enumerate(names) if table == "labels" or name in COLUMNS]
        schema = pa.schema(
            [(names[index], pa.int64() if names[index] in INTEGERS else pa.string()) for index in kept]
        )  # fmt: skip

        def batches() -> Iterator[pa.RecordBatch]:
            for rows in chunks:
                columns = list(zip(*rows, strict=True))
                arrays = [pa.array(columns[index], type=field.type) for index, field in zip(kept, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        stream = pa.RecordBatchReader.from_batches(schema, batches())
        self._db.register("stream", stream)
        self._db.execute(f"CREATE TABLE stored_{table} AS SELECT *, row_number() OVER () AS n FROM stream")  # noqa: S608
        self._db.unregister("stream")

    def _fetch(self, sql: str) -> list[Any]:
        rows: list[Any] = self._db.sql(sql).fetchall()
        return rows


def snapshot(path: Path, folder: Path) -> Path | None:
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


def class_numbers(texts: Sequence[str | None], classes: Sequence[Any]) -> Floats:
    """Return the number of each class from its JSON text; NaN for null and for what is no class."""
    numbers = {json.dumps(value, ensure_ascii=False): float(index) for index, value in enumerate(classes)}
    return np.array([np.nan if text is None else numbers.get(text, np.nan) for text in texts], dtype=np.float64)


def _numbers(column: pa.ChunkedArray, contract: Contract) -> Floats:
    """Return predictions or labels as numbers of classes, or as numbers."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    if contract.classes is not None:
        values = class_numbers(texts, contract.classes)
    else:
        values = np.array([_to_float(text) for text in texts], dtype=np.float64)
    indices = encoded.indices.fill_null(len(values)).to_numpy()
    numbers: Floats = np.append(values, np.nan)[indices]
    return numbers


def _to_float(text: str) -> float:
    value = json.loads(text)
    return float(value) if isinstance(value, int | float) else float("nan")


def _column(values: pa.Array, column: Column) -> npt.NDArray[Any]:
    """Return an input as an array; a time as days since 1970."""
    if column.kind in JSON_TYPES:
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    texts = values.to_pylist()
    if column.kind in ("date", "datetime"):
        return days_since_1970(texts)
    return np.array(texts, dtype=object)


def days_since_1970(texts: Sequence[str | None]) -> Floats:
    """Return ISO 8601 dates and times as days since 1970; NaN for null and for what is no date."""
    import pandas as pd

    moments = pd.to_datetime(pd.Series(list(texts), dtype="str"), errors="coerce", utc=True, format="ISO8601")
    days = moments.astype("datetime64[us, UTC]").astype("int64").to_numpy().astype(np.float64) / 86_400e6
    return np.where(moments.isna().to_numpy(), np.nan, days)


def _logged_columns(settings: LogSettings, contract: Contract) -> list[Column]:
    """Return the inputs that the log stores."""
    names = contract.input_names if settings.columns is None else settings.columns
    return [column for column in contract.inputs if column.name in names and column.name != settings.entity_column]


def _between(since: dt.datetime, until: dt.datetime) -> str:
    return f"p.time >= {to_us(since)} AND p.time < {to_us(until)}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
