"""Kills sealing, or forgetting, before each of its steps in turn; run it with OPERATION FOLDER [URL].

Each try is a process that kills itself before the n-th step; another then checks that nothing is lost or doubled and
does the work again. Prints how many steps there were.
"""

import datetime as dt
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.dataset  # noqa: F401 - once here, and not in every child
import pyarrow.parquet as pq

from skline.logs import postgres, sqlite, store, upkeep
from skline.logs.entity import EntityHasher
from skline.logs.labels import Label, Labels
from skline.logs.read import read_labels, read_predictions
from skline.logs.records import Encoder, to_us
from skline.logs.settings import LogSettings
from tests.skline.logs.conftest import CONTRACT, prediction

DAYS = [upkeep.today() - dt.timedelta(days=age) for age in (2, 1, 0)]
NAMES = [f"{day}-{number}" for day in DAYS for number in range(25)]


def prepare(settings: LogSettings, operation: str) -> None:
    """25 predictions on each of three days, every fifth of the entity "e", with its label."""
    records = [
        prediction(prediction_id=name, time=to_us(DAYS[place // 25]) + place, entity="eabcd"[place % 5])
        for place, name in enumerate(NAMES)
    ]
    encode = Encoder(settings, EntityHasher(settings))
    with closing(store.open_store(settings)) as opened:
        opened.write("predictions", [encode(record) for record in records])
    labels = Labels(settings, CONTRACT)
    labels.append([Label(prediction_id=name, label=True) for name in NAMES])
    labels.close()
    if operation == "forget":
        upkeep.seal(settings)


def work(settings: LogSettings, operation: str) -> None:
    """The operation itself."""
    if operation == "seal":
        upkeep.seal(settings)
    else:
        upkeep.forget(settings, "e")


def work_until(settings: LogSettings, operation: str, steps: int) -> None:
    """The operation, killed before step number `steps`: a statement, a write, a sync, a rename, a deletion."""
    left = steps

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*args, **named)

        return step

    for owner, name in (
        (os, "fsync"),
        (Path, "replace"),
        (Path, "chmod"),
        (Path, "unlink"),
        (pq.ParquetWriter, "write_table"),
        (pq.ParquetWriter, "close"),
        (sqlite.SqliteStore, "_execute"),
        (psycopg.Connection, "execute"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    work(settings, operation)


def check(settings: LogSettings, operation: str) -> None:
    """Nothing is lost or doubled, and the work can be finished."""
    others = [name for place, name in enumerate(NAMES) if place % 5]

    def found() -> list[str]:
        names: list[str] = sorted(read_predictions(settings)["prediction_id"].to_pylist())
        return names

    if operation == "seal":
        assert found() == sorted(NAMES), "lost or doubled"
        work(settings, operation)
        assert found() == sorted(NAMES), "lost or doubled after the second run"
        status = upkeep.status(settings)
        assert status.predictions.rows == 25, "what is sealed is still in the database"
        assert [rows for rows, _ in status.sealed.values()] == [25, 25]
    else:
        assert [name for name in found() if name in set(others)] == sorted(others), "others' rows lost or doubled"
        work(settings, operation)
        assert found() == sorted(others), "not forgotten"
        assert sorted(read_labels(settings)["prediction_id"].to_pylist()) == sorted(others)
    hidden = [path.name for path in settings.partitions.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    assert hidden == [], "temporary files are left"


def in_child(function: Callable[..., None], *args: Any) -> int:
    """Run a function in a process of its own; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            function(*args)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - it is the process's whole life
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def new_database(url: str, name: str) -> None:
    """Make a database on the server."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())


def main(operation: str, folder: str, url: str | None = None) -> None:
    """Kill before every step."""
    for module in (store, sqlite, postgres):
        module.CHUNK = 10  # type: ignore[attr-defined]
    for steps in itertools.count():
        home = Path(folder) / str(steps)
        database = str(home / "p.db")
        if url is not None:
            assert in_child(new_database, url, f"crash{steps}") == 0
            database = url.replace("/postgres?", f"/crash{steps}?")
        settings = LogSettings(database=database, partitions=home / "sealed", entity_key="k" * 32)  # type: ignore[arg-type]
        assert in_child(prepare, settings, operation) == 0
        ended = in_child(work_until, settings, operation, steps)
        assert ended in (0, -signal.SIGKILL), f"step {steps} ended with {ended}"
        assert in_child(check, settings, operation) == 0, f"killed before step {steps}"
        if ended == 0:
            print(steps)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
