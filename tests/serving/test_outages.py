"""What a running service leans on goes away and comes back: it answers all the while, says so, and loses nothing."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_client

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from tests import demo
from tests.postgres import Server
from tests.serving.security.test_limits import Redis
from tests.serving.test_drain import process
from tests.serving.test_slow_clients import scraped, until
from tests.skline.logs.test_drills import full, small_disk

pytestmark = pytest.mark.slow

#: Fewer rows than are asked for while a store is away.
SMALL_QUEUE = "150"


class Asking:
    """Two clients that ask without end; every answer must be a 200.

    Attributes
    ----------
    ids : list of str
        The predictions that were answered.
    """

    def __init__(self, url: httpx.URL, row: dict[str, Any]) -> None:
        self.ids: list[str] = []
        self.faults: list[str] = []
        self._url, self._row, self._over = url, row, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, trust_env=False, timeout=10) as client:
            while not self._over.wait(0.002):
                try:
                    answer = client.post("/predict", json=self._row)
                    answer.raise_for_status()
                except httpx.HTTPError as error:
                    self.faults.append(repr(error))
                else:
                    self.ids.append(answer.json()["prediction_id"])

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self.faults == []


def log_rows(client: httpx.Client, outcome: str) -> float:
    return scraped(client, "skline_log_rows_total")[outcome]


def failures(client: httpx.Client, store: str = "log") -> float:
    return scraped(client, "skline_store_failures_total")[store]


def ended(running: "subprocess.Popen[str]") -> str:
    """End the service as an orchestrator does; what it said on standard error."""
    running.send_signal(signal.SIGTERM)
    running.wait(30)
    assert running.stderr is not None
    said = running.stderr.read()
    assert "Traceback" not in said, said
    return said


def outage(
    packaged: demo.Packaged, row: dict[str, Any], log: LogSettings, away: Any, *, gone: bool = False, **settings: str
) -> tuple[str, float]:
    """Under load the log's store goes away at the first step of `away`, and comes back at the second.

    `gone`: what was written before is gone with it.

    Returns
    -------
    What the service said on standard error, and how many rows it dropped.
    """
    settings |= {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "20"}
    with process(packaged, **settings) as (running, client):
        with Asking(client.base_url, row) as asking:
            until(lambda: log_rows(client, "written") > 50)
        until(lambda: log_rows(client, "written") == len(asking.ids))
        lost = set(asking.ids) if gone else set()
        steps = away(running)
        with Asking(client.base_url, row) as more:
            next(steps)
            until(lambda: failures(client) >= (1 if gone else 3))
            if "LOG__QUEUE_ROWS" in settings:
                until(lambda: log_rows(client, "dropped") > 100)
            list(steps)
            seen = log_rows(client, "written")
            until(lambda: log_rows(client, "written") > seen + 50)
        until(lambda: scraped(client, "skline_queue")["log"] == 0)
        dropped, written = log_rows(client, "dropped"), log_rows(client, "written")
        said = ended(running)
    stored = read_predictions(log)["prediction_id"].to_pylist()
    asked = {*asking.ids, *more.ids}
    assert len(stored) == len(set(stored)), "a row is there twice"
    assert set(stored) <= asked
    assert len(asked - lost) - len(set(stored) - lost) == dropped
    assert written == len(asked) - dropped
    return said, dropped


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs" / "log.db"), partitions=tmp_path / "days")


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Another process's transaction, as far as SQLite can tell."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["enough room", "a full queue"])
def test_a_locked_log(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, queue: dict[str, str]
) -> None:
    def away(_: object) -> Iterator[None]:
        with locked(log.database):
            yield

    said, dropped = outage(packaged, example, log, away, **queue)
    assert "database is locked" in said
    assert "is back" in said
    assert (dropped > 0, "rows dropped so far" in said) == (bool(queue), bool(queue))


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["enough room", "a full queue"])
def test_a_full_disk(packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, queue: dict[str, str]) -> None:
    folder = Path(log.database).parent
    with small_disk(folder, "8m"):
        said, dropped = outage(packaged, example, log, lambda _: full(folder), **queue)
    assert "database or disk is full" in said
    assert bool(queue) == (dropped > 0)


def test_a_file_that_may_not_grow(packaged: demo.Packaged, example: dict[str, Any], log: LogSettings) -> None:
    def away(running: "subprocess.Popen[str]") -> Iterator[None]:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        yield
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    said, _ = outage(packaged, example, log, away)
    assert "rows wait, trying again" in said
    assert "is back" in said


@pytest.mark.parametrize("what", ["the directory", "the file", "a directory that cannot be made"])
def test_a_log_that_is_deleted(packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, what: str) -> None:
    """What had been in it is gone; every row from then on is in the one that takes its place."""
    folder = Path(log.database).parent

    def away(_: object) -> Iterator[None]:
        if what == "the file":
            Path(log.database).unlink()
        else:
            shutil.rmtree(folder)
        if what == "a directory that cannot be made":
            folder.write_text("a file where it was")
        yield
        if folder.is_file():
            folder.unlink()

    said, dropped = outage(packaged, example, log, away, gone=True)
    assert "trying again" in said
    assert dropped == 0


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["enough room", "a full queue"])
def test_postgresql_stopped_and_started_again(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path, server: Server, queue: dict[str, str]
) -> None:
    log = LogSettings(database=server.database(), partitions=tmp_path / "days")

    def away(_: object) -> Iterator[None]:
        server.stop()
        yield
        server.start()

    said, dropped = outage(packaged, example, log, away, **queue)
    assert "PostgreSQL: " in said
    assert "is back" in said
    assert bool(queue) == (dropped > 0)


def test_a_redis_that_dies_and_comes_back(packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path) -> None:
    server = Redis()
    shared = {"LIMITS__STORE": server.url, "LIMITS__RATE": "1000000/hour", "LOG__DATABASE": str(tmp_path / "log.db")}

    def counted() -> int:
        with redis_client.Redis.from_url(server.url) as store:
            return sum(int(store.get(key)) for key in store.scan_iter())  # type: ignore[arg-type]

    try:
        with process(packaged, **shared) as (running, client), Asking(client.base_url, example) as asking:
            until(lambda: len(asking.ids) > 100)
            assert counted() > 100
            assert failures(client, "limits") == 0
            server.stop()
            until(lambda: failures(client, "limits") > 100)
            server.start()
            until(lambda: counted() > 100)
            alone = failures(client, "limits")
            asked = len(asking.ids)
            until(lambda: len(asking.ids) > asked + 200)
            assert failures(client, "limits") == alone
            asking.__exit__()
            until(lambda: log_rows(client, "written") == len(asking.ids))
            said = ended(running)
    finally:
        server.stop()
    assert "the rate limit's store does not answer" in said
    assert "the rate limit's store answers again" in said
