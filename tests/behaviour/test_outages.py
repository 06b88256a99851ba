"""A store that the service depends on fails and recovers: every request gets a response, and lost rows are counted."""

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_client

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from tests.fixtures import demo
from tests.fixtures.clients import ContinuousRequests, terminate, wait_until
from tests.fixtures.disk import fill_disk, small_disk
from tests.fixtures.postgres import Server
from tests.fixtures.server import process
from tests.fixtures.service import metric_by_label
from tests.skline.serving.security.test_rate_limit import Redis

pytestmark = pytest.mark.slow

#: Rows that the queue holds: fewer than are sent while a store is unavailable.
SMALL_QUEUE = "150"


def log_rows(client: httpx.Client, outcome: str) -> float:
    return metric_by_label(client, "skline_log_rows_total")[outcome]


def store_failures(client: httpx.Client, store: str = "log") -> float:
    return metric_by_label(client, "skline_store_failures_total")[store]


def run_with_outage(
    packaged: demo.Packaged,
    row: dict[str, Any],
    log: LogSettings,
    outage: Callable[["subprocess.Popen[str]"], Iterator[None]],
    *,
    earlier_rows_lost: bool = False,
    **settings: str,
) -> tuple[str, float]:
    """Run a service under load during an outage of its log's store, and check that each row is logged or counted.

    Parameters
    ----------
    outage : callable
        Takes the service's process; the iterator starts the outage at its first step and ends it at its second.
    earlier_rows_lost : bool
        Whether the outage deletes the rows that were written before.

    Returns
    -------
    The service's standard error, and the number of dropped rows.
    """
    settings |= {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "20"}
    with process(packaged, **settings) as (running, client):
        with ContinuousRequests(client.base_url, row) as before:
            wait_until(lambda: log_rows(client, "written") > 50)
        wait_until(lambda: log_rows(client, "written") == len(before.ids))
        lost = set(before.ids) if earlier_rows_lost else set()
        steps = outage(running)
        with ContinuousRequests(client.base_url, row) as during:
            next(steps)
            wait_until(lambda: store_failures(client) >= (1 if earlier_rows_lost else 3))
            if "LOG__QUEUE_ROWS" in settings:
                wait_until(lambda: log_rows(client, "dropped") > 100)
            list(steps)
            recovered = log_rows(client, "written")
            wait_until(lambda: log_rows(client, "written") > recovered + 50)
        wait_until(lambda: metric_by_label(client, "skline_queue_length")["log"] == 0)
        dropped, written = log_rows(client, "dropped"), log_rows(client, "written")
        stderr = terminate(running)
    logged = read_predictions(log)["prediction_id"].to_pylist()
    received = {*before.ids, *during.ids}
    assert len(logged) == len(set(logged)), "a row is logged twice"
    assert set(logged) <= received
    assert len(received - lost) - len(set(logged) - lost) == dropped
    assert written == len(received) - dropped
    return stderr, dropped


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs" / "log.db"), partitions=tmp_path / "days")


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Hold an exclusive transaction, as another process would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["large queue", "full queue"])
def test_log_is_complete_after_the_database_was_locked(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, queue: dict[str, str]
) -> None:
    def outage(_: object) -> Iterator[None]:
        with locked(log.database):
            yield

    stderr, dropped = run_with_outage(packaged, example, log, outage, **queue)
    assert "database is locked" in stderr
    assert "is available again" in stderr
    assert (dropped > 0, "rows dropped so far" in stderr) == (bool(queue), bool(queue))


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["large queue", "full queue"])
def test_log_is_complete_after_the_disk_was_full(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, queue: dict[str, str]
) -> None:
    folder = Path(log.database).parent
    with small_disk(folder, "8m"):
        stderr, dropped = run_with_outage(packaged, example, log, lambda _: fill_disk(folder), **queue)
    assert "database or disk is full" in stderr
    assert bool(queue) == (dropped > 0)


def test_log_is_complete_after_its_file_could_not_grow(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings
) -> None:
    def outage(running: "subprocess.Popen[str]") -> Iterator[None]:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        yield
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    stderr, _ = run_with_outage(packaged, example, log, outage)
    assert "rows are queued, retrying" in stderr
    assert "is available again" in stderr


@pytest.mark.parametrize("what", ["directory", "file", "directory that cannot be created"])
def test_log_is_created_again_after_it_was_deleted(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, what: str
) -> None:
    """The earlier rows are lost; every later row is in the new log."""
    folder = Path(log.database).parent

    def outage(_: object) -> Iterator[None]:
        if what == "file":
            Path(log.database).unlink()
        else:
            shutil.rmtree(folder)
        if what == "directory that cannot be created":
            folder.write_text("a file in its place")
        yield
        if folder.is_file():
            folder.unlink()

    stderr, dropped = run_with_outage(packaged, example, log, outage, earlier_rows_lost=True)
    assert "retrying" in stderr
    assert dropped == 0


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


@pytest.mark.parametrize("queue", [{}, {"LOG__QUEUE_ROWS": SMALL_QUEUE}], ids=["large queue", "full queue"])
def test_log_is_complete_after_a_restart_of_postgresql(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path, server: Server, queue: dict[str, str]
) -> None:
    log = LogSettings(database=server.database(), partitions=tmp_path / "days")

    def outage(_: object) -> Iterator[None]:
        server.stop()
        yield
        server.start()

    stderr, dropped = run_with_outage(packaged, example, log, outage, **queue)
    assert "PostgreSQL: " in stderr
    assert "is available again" in stderr
    assert bool(queue) == (dropped > 0)


def test_rate_limits_return_to_redis_after_its_restart(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Path
) -> None:
    server = Redis()
    shared = {"LIMITS__STORE": server.url, "LIMITS__RATE": "1000000/hour", "LOG__DATABASE": str(tmp_path / "log.db")}

    def requests_counted() -> int:
        with redis_client.Redis.from_url(server.url) as store:
            return sum(int(store.get(key)) for key in store.scan_iter())  # type: ignore[arg-type]

    try:
        with process(packaged, **shared) as (running, client), ContinuousRequests(client.base_url, example) as requests:

            def is_counted_throughout() -> bool:
                """Whether the store responds in time for 200 requests in a row, as it may not on a busy machine."""
                failures, sent = store_failures(client, "rate_limits"), len(requests.ids)
                wait_until(lambda: len(requests.ids) > sent + 200)
                return store_failures(client, "rate_limits") == failures

            wait_until(is_counted_throughout)
            assert requests_counted() > 100
            before = store_failures(client, "rate_limits")
            server.stop()
            wait_until(lambda: store_failures(client, "rate_limits") > before + 100)
            server.start()
            wait_until(lambda: requests_counted() > 100)
            wait_until(is_counted_throughout)
            requests.stop()
            wait_until(lambda: log_rows(client, "written") == len(requests.ids))
            stderr = terminate(running)
    finally:
        server.stop()
    assert "the rate limit's store does not respond" in stderr
    assert "the rate limit's store responds again" in stderr
