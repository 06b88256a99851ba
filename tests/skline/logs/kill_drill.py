"""Kill sealing, forgetting or a migration before each of its steps in turn: `kill_drill OPERATION FOLDER [URL]`.

Each attempt is a process that kills itself before the n-th step; another one then checks that no row is lost or
doubled, and repeats the operation. Prints the number of steps.
"""

import datetime as dt
import itertools
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.dataset  # noqa: F401 - imported once here instead of in every child
import pyarrow.parquet as pq

from skline.logs import maintenance
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, LabelLog
from skline.logs.read import read_labels, read_predictions
from skline.logs.records import PredictionEncoder, to_us
from skline.logs.schema import SCHEMA_VERSION
from skline.logs.settings import LogSettings
from skline.logs.stores import base, open_store, postgres
from skline.logs.stores import sqlite as sqlite_store
from tests.skline.logs.conftest import CONTRACT, load_layout, prediction

DAYS = [maintenance.today() - dt.timedelta(days=age) for age in (2, 1, 0)]
IDS = [f"{day}-{number}" for day in DAYS for number in range(25)]
LAYOUT_IDS = ["0198a000000070008000000000000001", "0198a000000070008000000000000002"]


def prepare(settings: LogSettings, operation: str) -> None:
    """Write 25 labelled predictions for each of three days, every fifth of the entity "e"; or load an old layout."""
    if operation == "migrate":
        load_layout(settings, 1)
        return
    records = [
        prediction(prediction_id=name, time=to_us(DAYS[index // 25]) + index, entity="eabcd"[index % 5])
        for index, name in enumerate(IDS)
    ]
    encoder = PredictionEncoder(settings, EntityHasher(settings))
    with closing(open_store(settings)) as store:
        store.write("predictions", [encoder.encode(record) for record in records])
    labels = LabelLog(settings, CONTRACT)
    labels.append([Label(prediction_id=name, label=True) for name in IDS])
    labels.close()
    if operation == "forget":
        maintenance.seal(settings)


def run(settings: LogSettings, operation: str) -> None:
    """Run the operation."""
    if operation == "migrate":
        open_store(settings).close()
    elif operation == "seal":
        maintenance.seal(settings)
    else:
        maintenance.forget(settings, "e")


def run_until(settings: LogSettings, operation: str, steps: int) -> None:
    """Run the operation, and kill it before a step: a statement, a commit, a write, a sync, a rename, a deletion."""
    remaining = steps

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            nonlocal remaining
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            remaining -= 1
            return function(*args, **named)

        return step

    for owner, name in (
        (os, "fsync"),
        (Path, "replace"),
        (Path, "chmod"),
        (Path, "unlink"),
        (pq.ParquetWriter, "write_table"),
        (pq.ParquetWriter, "close"),
        (sqlite_store.SqliteStore, "_execute"),
        (psycopg.Connection, "execute"),
        (psycopg.Transaction, "__exit__"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    run(settings, operation)


def check(settings: LogSettings, operation: str) -> None:
    """Check that no row is lost or doubled, and that the operation can be completed."""
    others = [name for index, name in enumerate(IDS) if index % 5]

    def logged_ids() -> list[str]:
        ids: list[str] = sorted(read_predictions(settings)["prediction_id"].to_pylist())
        return ids

    if operation == "migrate":
        check_layout(settings)
        assert logged_ids() == LAYOUT_IDS, "lost or doubled"
        assert read_predictions(settings)["scoring_path"].to_pylist() == ["plan", "previous"]
        assert read_labels(settings).num_rows == 2
        return
    if operation == "seal":
        assert logged_ids() == sorted(IDS), "lost or doubled"
        run(settings, operation)
        assert logged_ids() == sorted(IDS), "lost or doubled after the second run"
        status = maintenance.status(settings)
        assert status.predictions.rows == 25, "sealed rows are still in the database"
        assert [rows for rows, _ in status.sealed.values()] == [25, 25]
    else:
        assert [name for name in logged_ids() if name in set(others)] == sorted(others), (
            "rows of others lost or doubled"
        )
        run(settings, operation)
        assert logged_ids() == sorted(others), "not forgotten"
        assert sorted(read_labels(settings)["prediction_id"].to_pylist()) == sorted(others)
    hidden = [path.name for path in settings.partitions.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    assert hidden == [], "temporary files are left"


def check_layout(settings: LogSettings) -> None:
    """Check that the database is entirely of the old schema version, or entirely of the new one."""
    exists = "SELECT 1 FROM sqlite_master WHERE name = 'skline_log_schema'"
    if settings.is_postgres:
        exists = "SELECT 1 WHERE to_regclass('skline_log_schema') IS NOT NULL"
    connect: Callable[[str], Any] = psycopg.connect if settings.is_postgres else sqlite3.connect
    with closing(connect(settings.database)) as connection:
        columns = [column[0] for column in connection.execute("SELECT * FROM predictions").description]
        is_migrated = connection.execute(exists).fetchone() is not None
        versions = connection.execute("SELECT version FROM skline_log_schema").fetchall() if is_migrated else []
    assert ("path" in columns, "scoring_path" in columns) == (not is_migrated, is_migrated)
    assert versions == [(SCHEMA_VERSION,)] * is_migrated


def in_child(function: Callable[..., None], *args: Any) -> int:
    """Run a function in a child process; return its exit status."""
    child = os.fork()
    if child == 0:
        try:
            function(*args)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must not continue as a copy of this process
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def create_database(url: str, name: str) -> None:
    """Create a database on the server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())


def main(operation: str, folder: str, url: str | None = None) -> None:
    """Kill the operation before each step, until it runs to its end."""
    for module in (base, sqlite_store, postgres):
        module.CHUNK_ROWS = 10  # type: ignore[attr-defined]
    for steps in itertools.count():
        home = Path(folder) / str(steps)
        database = str(home / "p.db")
        if url is not None:
            assert in_child(create_database, url, f"kill{steps}") == 0
            database = url.replace("/postgres?", f"/kill{steps}?")
        settings = LogSettings(database=database, partitions=home / "sealed", entity_key="k" * 32)  # type: ignore[arg-type]
        assert in_child(prepare, settings, operation) == 0
        status = in_child(run_until, settings, operation, steps)
        assert status in (0, -signal.SIGKILL), f"step {steps} ended with {status}"
        assert in_child(check, settings, operation) == 0, f"killed before step {steps}"
        if status == 0:
            print(steps)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
