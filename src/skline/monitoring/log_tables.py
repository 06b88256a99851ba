"""Copy what monitoring needs from the log into small tables: counts of all rows, and the rows that are compared.

The sealed days are read twice by DuckDB. The first pass reads a few short columns and counts. The second pass reads all
columns, counts the rows whose JSON is broken, and copies the rows that are compared: of a large period a sample by the
hash of the prediction id.

The rows of the database are read once, through the stores, as Arrow batches: DuckDB's own readers of SQLite and
PostgreSQL are extensions that it downloads. Batches are collected to a chunk, which is counted, sampled and dropped.
How many buckets of the hash are sampled follows from the number of rows, which is known only at the end: the number so
far is smaller, and allows at least as many buckets. The surplus is removed at the end.

A row is both in the database and in a sealed day while the day is being sealed, and afterwards if that was interrupted.
Therefore the database's rows of sealed days are copied to a file first, and left out where the sealed days have them.
If another day is sealed meanwhile, everything is read again.
"""

import datetime as dt
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from skline.errors import SklineError
from skline.logs.partitions import sealed_days
from skline.logs.records import COMPARE_REQUEST_ID, to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import Store

#: Columns of the predictions that monitoring reads; experiments stay in the log.
COLUMNS = (
    "prediction_id", "time", "model_version", "artifact_digest", "scoring_path", "inputs", "prediction",
    "probabilities", "latency_us", "entity", "event_time", "review", "role", "arm", "request_id",
)  # fmt: skip
LABEL_COLUMNS = ("seq", "time", "prediction_id", "entity", "event_time", "label")
INTEGERS = ("seq", "time", "latency_us", "event_time", "review")
#: Buckets of the hash that decides which rows of a large window are read.
HASH_BUCKETS = 1_000_000
#: Rows of the database that are counted and sampled together.
CHUNK_ROWS = 250_000
#: How often everything is read again at most, if days are sealed meanwhile.
MAX_ATTEMPTS = 5
VALID = "json_valid(inputs) AND json_valid(prediction) AND (probabilities IS NULL OR json_valid(probabilities))"
LOGGED = f"role <> 'shadow' AND NOT starts_with(coalesce(request_id, ''), '{COMPARE_REQUEST_ID}')"
#: The tables that are filled; a row of `conflicting` is a prediction with labels that contradict each other.
TABLES = {
    "counts": "slot INTEGER, scoring_path VARCHAR, model_version VARCHAR, artifact_digest VARCHAR, latency_us BIGINT, "
    "by_latency BOOLEAN, rows BIGINT, reviewed BIGINT",
    "sampled": "prediction_id VARCHAR, time BIGINT, moment TIMESTAMPTZ, arm VARCHAR, artifact_digest VARCHAR, "
    "entity VARCHAR, review BIGINT, inputs VARCHAR, prediction VARCHAR, probabilities VARCHAR, bucket UBIGINT, "
    "label VARCHAR, valid BOOLEAN",
    "conflicting": "moment TIMESTAMPTZ",
}


class Period(NamedTuple):
    """The predictions of since ≤ time < until, all of them or those that have a label."""

    since: dt.datetime
    until: dt.datetime
    labelled: bool = False


class LogTables:
    """The tables `counts`, `sampled` and `conflicting` in a database of DuckDB.

    Parameters
    ----------
    db : DuckDBPyConnection
    periods : sequence of Period
        The periods whose rows are sampled.
    bounds : sequence of datetime
        The bounds of all periods, those that are counted only too; ascending. A slot is between two of them.
    max_rows : int
        Rows of a period that are sampled, about.
    """

    def __init__(
        self, db: duckdb.DuckDBPyConnection, periods: Sequence[Period], bounds: Sequence[dt.datetime], max_rows: int
    ) -> None:
        self._db = db
        self._periods = periods
        self._bounds = bounds
        self._whole = Period(bounds[0], bounds[-1])
        self._max_rows = max_rows
        self._labels_limit = HASH_BUCKETS

    def load(self, settings: LogSettings, asof: dt.datetime, folder: Path) -> dict[Period, int]:
        """Fill the tables, and return how many buckets each period is a sample of.

        Parameters
        ----------
        settings : LogSettings
        asof : datetime
            Labels that arrived later are ignored.
        folder : Path
            For temporary files.

        Raises
        ------
        SklineError
            If the log cannot be read, or another day is sealed during each attempt.
        """
        self._db.execute("SET preserve_insertion_order = false")
        for attempt in range(MAX_ATTEMPTS):
            part = folder / str(attempt)
            part.mkdir()
            self._labels_limit = HASH_BUCKETS
            for name, columns in TABLES.items():
                self._db.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
            with closing(open_store(settings)) as store:
                self._copy_labels(store, to_us(asof) + 1)
                until = self._sealed_until(settings.partitions)
                self._declare_sealed(store, settings.partitions, until, part)
                self._count("predictions")
                self._read_unsealed(store, until)
            if self._sealed_until(settings.partitions) == until:
                limits = self._limits()
                self._sample("predictions", limits)
                self._drop_surplus(limits)
                return limits
        raise SklineError("the prediction log cannot be read, because its days are being sealed; try again later")

    def count(self, period: Period) -> int:
        """Count the predictions of a period."""
        ((rows,),) = self._db.execute(
            f"SELECT coalesce(sum(rows), 0) FROM counts WHERE {self.slots(period)} AND NOT by_latency"  # noqa: S608
        ).fetchall()
        return int(rows)

    def slots(self, period: Period) -> str:
        """Return the condition of the counts that belong to a period."""
        return f"slot >= {self._bounds.index(period.since)} AND slot < {self._bounds.index(period.until)}"

    def _sealed_until(self, partitions: Path) -> dt.datetime:
        """Return the end of the last sealed day; rows of the database before it may be in a sealed day as well."""
        first, last, _ = self._whole
        days = [day for day in sealed_days(partitions) if first.date() <= day <= last.date()]
        if not days:
            return first
        return dt.datetime.combine(max(days) + dt.timedelta(days=1), dt.time(), dt.UTC)

    def _copy_labels(self, store: Store, until: int) -> None:
        """Copy the last label of each prediction, and of each event; `seq` is the order of arrival."""
        schema = _schema(LABEL_COLUMNS)
        batches = store.read_batches("labels", LABEL_COLUMNS, None, until)
        self._db.register("stream", pa.RecordBatchReader.from_batches(schema, batches))
        self._db.execute(
            "CREATE OR REPLACE TABLE last_labels AS SELECT prediction_id, "  # noqa: S608
            "CASE WHEN prediction_id IS NULL THEN entity END AS entity, "
            "CASE WHEN prediction_id IS NULL THEN event_time END AS event_time, "
            "max(seq) AS seq, arg_max(label, seq) AS label, max(time) AS arrived, "
            f"min(label) <> max(label) AS contradictory, hash(prediction_id) % {HASH_BUCKETS} AS bucket "
            "FROM stream WHERE json_valid(label) GROUP BY ALL"
        )
        self._db.unregister("stream")

    def _declare_sealed(self, store: Store, partitions: Path, until: dt.datetime, folder: Path) -> None:
        """Declare the view `predictions` of the rows before `until`: those of the sealed days and of the database.

        The database is read before the sealed days are listed: rows that are sealed meanwhile are found twice, not
        never, and the copies are removed. The sealed files are linked into the temporary folder: one that is replaced
        or deleted meanwhile stays as it was.
        """
        first = self._whole.since
        copy = folder / "stored.parquet"
        stored_rows = 0
        if first < until:
            batches = store.read_batches("predictions", COLUMNS, to_us(first), to_us(until))
            stored_rows = _write_batches(batches, copy)
        days = [path for day, path in sealed_days(partitions).items() if first.date() <= day < until.date()]
        paths = [str(link) for path in days if (link := link_or_copy(path, folder)) is not None]
        selected, stored = ", ".join(COLUMNS), f"read_parquet({quote(str(copy))})"
        parts = []
        if paths:
            self._declare_files(paths)
            parts.append(f"SELECT {selected}, moment FROM sealed")  # noqa: S608
        if stored_rows:
            parts.append(f"SELECT {selected}, make_timestamptz(time) AS moment FROM {stored}")  # noqa: S608
        if paths and stored_rows:
            self._db.execute(
                f"CREATE OR REPLACE TABLE doubled AS SELECT prediction_id FROM sealed SEMI JOIN {stored} "  # noqa: S608
                "USING (prediction_id)"
            )
            parts[-1] += " WHERE prediction_id NOT IN (SELECT prediction_id FROM doubled)"
        source = f"({' UNION ALL '.join(parts)})" if parts else self._empty_source()
        self._db.execute(f"CREATE OR REPLACE VIEW predictions AS SELECT * FROM {source} WHERE {LOGGED}")  # noqa: S608

    def _empty_source(self) -> str:
        """Return a table of predictions without rows."""
        columns = ", ".join(f"{name} {'BIGINT' if name in INTEGERS else 'VARCHAR'}" for name in COLUMNS)
        self._db.execute(f"CREATE OR REPLACE TABLE nothing ({columns}, moment TIMESTAMPTZ)")
        return "nothing"

    def _declare_files(self, paths: Sequence[str]) -> None:
        """Declare the view `sealed` over files of all schema versions."""
        files = f"read_parquet([{', '.join(map(quote, paths))}], union_by_name = true)"
        names = {row[0] for row in self._db.sql(f"DESCRIBE SELECT * FROM {files}").fetchall()}  # noqa: S608
        old_path = [name for name in ("scoring_path", "path") if name in names]
        expressions = {name: name for name in COLUMNS} | {
            "scoring_path": f"coalesce({', '.join(old_path)})",
            "time": "epoch_us(time)",
            "event_time": "epoch_us(event_time)",
            "review": "CAST(review AS BIGINT)",
            "moment": "time",
        }
        self._db.execute(
            f"CREATE OR REPLACE VIEW sealed AS SELECT "  # noqa: S608
            f"{', '.join(f'{text} AS {name}' for name, text in expressions.items())} FROM {files}"
        )

    def _read_unsealed(self, store: Store, since: dt.datetime) -> None:
        """Count and sample the database's rows of the days that are not sealed."""
        if since >= self._whole.until:
            return
        batches = store.read_batches("predictions", COLUMNS, to_us(since), to_us(self._whole.until))
        for chunk in _chunks(batches):
            self._db.register("chunk", chunk)
            source = f"(SELECT *, make_timestamptz(time) AS moment FROM chunk WHERE {LOGGED})"  # noqa: S608
            self._count(source)
            self._sample(source, self._limits())
            self._db.unregister("chunk")

    def _count(self, source: str) -> None:
        """Count rows between each two bounds: by path, version and artifact, and by latency.

        Grouped by all of them at once, or by expressions instead of columns, this takes twice as long: DuckDB groups
        plain columns by the codes in the files' dictionaries.
        """
        # The latest bound first: most rows are after it, and the first condition that holds ends the CASE.
        starts = reversed([*enumerate(self._bounds[1:-1], 1)])
        cases = " ".join(f"WHEN moment >= {_moment(bound)} THEN {number}" for number, bound in starts)
        slot = f"CASE {cases} ELSE 0 END" if cases else "0"
        self._db.execute(
            "INSERT INTO counts SELECT slot, scoring_path, model_version, artifact_digest, latency_us, "  # noqa: S608
            "grouping(latency_us) = 0 AS by_latency, count(*) AS rows, count(*) FILTER (review > 0) AS reviewed "
            f"FROM (SELECT *, {slot} AS slot FROM {source} p WHERE {between(self._whole)}) "
            "GROUP BY GROUPING SETS ((slot, scoring_path, model_version, artifact_digest), (slot, latency_us))"
        )

    def _limits(self) -> dict[Period, int]:
        """Return how many of the buckets are sampled of each period, by the rows that were counted so far."""
        return {
            each: min(HASH_BUCKETS * self._max_rows // max(self._readable_rows(each), 1), HASH_BUCKETS)
            for each in self._periods
        }

    def _readable_rows(self, period: Period) -> int:
        """Return the number of rows of a period; for labelled rows an upper limit of it.

        A label arrives after its prediction: there are at most as many as labels that arrived since the period's start.
        """
        rows = self.count(period)
        if not period.labelled:
            return rows
        query = f"SELECT count(*) FROM last_labels WHERE arrived >= {to_us(period.since)}"  # noqa: S608
        ((labels,),) = self._db.execute(query).fetchall()
        return min(rows, int(labels))

    def _near_labels(self, limit: int) -> str:
        """Return the name of a table with all labels of events and those of predictions in the first buckets."""
        if 2 * limit <= self._labels_limit:
            self._db.execute(
                "CREATE OR REPLACE TABLE near_labels AS SELECT * FROM last_labels "  # noqa: S608
                f"WHERE prediction_id IS NULL OR bucket < {limit}"
            )
            self._labels_limit = limit
        return "last_labels" if self._labels_limit == HASH_BUCKETS else "near_labels"

    def _sample(self, source: str, limits: dict[Period, int]) -> None:
        """Copy rows that are compared, and broken ones without their content; find conflicting labels."""
        limit = max(limits.values(), default=0)
        candidates = (
            f"SELECT * FROM (SELECT *, hash(prediction_id) % {HASH_BUCKETS} AS bucket, {VALID} AS valid "  # noqa: S608
            f"FROM {source} p WHERE {between(self._whole)}) WHERE bucket < {limit} OR NOT valid"
        )
        content = ", ".join(
            f"CASE WHEN valid THEN {name} END AS {name}" for name in ("inputs", "prediction", "probabilities")
        )
        labels = self._near_labels(limit)
        self._db.execute(
            "INSERT INTO sampled SELECT prediction_id, time, moment, coalesce(arm, role) AS arm, artifact_digest, "  # noqa: S608
            f"entity, coalesce(review, 0) AS review, {content}, bucket, label, valid FROM ("
            "SELECT p.*, CASE WHEN coalesce(i.seq, -1) >= coalesce(e.seq, -1) THEN i.label ELSE e.label END AS label "
            f"FROM ({candidates}) p LEFT JOIN {labels} i ON p.prediction_id = i.prediction_id "
            f"LEFT JOIN {labels} e ON p.entity = e.entity AND p.event_time = e.event_time"
            f") p WHERE {_is_sampled(limits)} OR NOT valid"
        )
        self._db.execute(
            f"INSERT INTO conflicting SELECT moment FROM {source} p SEMI JOIN "  # noqa: S608
            "(SELECT prediction_id FROM last_labels WHERE contradictory) USING (prediction_id) "
            f"WHERE {between(self._whole)}"
        )

    def _drop_surplus(self, limits: dict[Period, int]) -> None:
        """Remove the rows that were sampled before all rows were counted, and are not in the final sample."""
        self._db.execute(f"DELETE FROM sampled p WHERE valid AND NOT ({_is_sampled(limits)})")  # noqa: S608


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


def between(period: Period) -> str:
    """Return the condition that a row of `p` is within the bounds of a period."""
    # On the timestamp that the sealed files hold: those of other days are not opened.
    return f"p.moment >= {_moment(period.since)} AND p.moment < {_moment(period.until)}"


def _is_sampled(limits: dict[Period, int]) -> str:
    """Return the condition that a row of `p` belongs to the sample of a period."""
    conditions = [
        f"({between(period)} AND bucket < {limit}{' AND label IS NOT NULL' if period.labelled else ''})"
        for period, limit in limits.items()
    ]
    return " OR ".join(conditions) or "false"


def _chunks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield tables of successive batches, each of at least CHUNK_ROWS rows except for the last."""
    schema, collected, rows = _schema(COLUMNS), [], 0
    for batch in batches:
        collected.append(batch)
        rows += batch.num_rows
        if rows >= CHUNK_ROWS:
            yield pa.Table.from_batches(collected, schema)
            collected, rows = [], 0
    if rows:
        yield pa.Table.from_batches(collected, schema)


def _write_batches(batches: Iterable[pa.RecordBatch], path: Path) -> int:
    """Write predictions to a file; return their number."""
    rows = 0
    with pq.ParquetWriter(path, _schema(COLUMNS), compression="zstd", compression_level=1) as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch)
    return rows


def _schema(names: Sequence[str]) -> pa.Schema:
    """Return the types in which the database's columns are copied."""
    return pa.schema([(name, pa.int64() if name in INTEGERS else pa.string()) for name in names])


def _moment(moment: dt.datetime) -> str:
    return f"make_timestamptz({to_us(moment)})"


def quote(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
