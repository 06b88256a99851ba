"""Drills of the prediction log: killed processes, full disks, and databases that fail and recover."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from skline.logs.writer import PredictionLog
from tests.fixtures.clients import wait_until
from tests.fixtures.demo import ROOT
from tests.fixtures.disk import fill_disk, small_disk
from tests.fixtures.postgres import Server
from tests.skline.logs.conftest import prediction


class Load:
    """A thread that logs predictions without pause.

    Attributes
    ----------
    ids : list of str
        The predictions that the log accepted.
    """

    def __init__(self, log: PredictionLog) -> None:
        self.ids: list[str] = []
        self._log, self._stop = log, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            record = prediction()
            if self._log.put(record):
                self.ids.append(record.prediction_id)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def stored_ids(settings: LogSettings) -> list[str]:
    """Return the ids in the log; each must be there once."""
    ids: list[str] = read_predictions(settings)["prediction_id"].to_pylist()
    assert len(ids) == len(set(ids))
    return ids


def check_outage(settings: LogSettings, outage: Iterator[None]) -> None:
    """Check that no row is lost while the database fails, at the first step of `outage`, and recovers at the second."""
    log = PredictionLog(settings)
    with Load(log) as load:
        wait_until(lambda: log.stats().written)
        next(outage)
        failed = log.stats().failed_batches
        wait_until(lambda: log.stats().failed_batches >= failed + 3)
        assert log.stats().last_error
        list(outage)
        written = log.stats().written
        wait_until(lambda: log.stats().written > written + 100)
        assert log.stats().last_error is None
    # `close` drops what it cannot write within `drain_seconds`, which is too short for many rows on a busy machine.
    wait_until(lambda: log.stats().queued == 0)
    stats = log.close()
    assert (stats.dropped, stats.rejected, stats.queued) == (0, 0, 0)
    assert stats.written == len(load.ids)
    assert sorted(stored_ids(settings)) == sorted(load.ids)


def test_no_row_is_lost_while_the_database_is_locked(sqlite: LogSettings) -> None:
    def outage() -> Iterator[None]:
        with closing(sqlite3.connect(sqlite.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    check_outage(sqlite, outage())


def test_no_row_is_lost_while_the_directory_cannot_be_created(sqlite: LogSettings) -> None:
    folder = Path(sqlite.database).parent
    folder.write_text("a file in place of the directory")
    log = PredictionLog(sqlite)
    with Load(log) as load:
        wait_until(lambda: log.stats().failed_batches >= 2)
        folder.unlink()
        wait_until(lambda: log.stats().written)
    log.close()
    assert sorted(stored_ids(sqlite)) == sorted(load.ids)


@pytest.mark.parametrize("deleted", ["the directory", "the file", "the write-ahead log"])
def test_deleted_files_are_created_again_and_no_later_batch_is_lost(sqlite: LogSettings, deleted: str) -> None:
    folder = Path(sqlite.database).parent
    log = PredictionLog(sqlite)
    early, late = [prediction() for _ in range(10)], [prediction() for _ in range(700)]
    log.put_many(early)
    wait_until(lambda: log.stats().written == 10)
    if deleted == "the directory":
        shutil.rmtree(folder)
    else:
        Path(sqlite.database + ("-wal" if "log" in deleted else "")).unlink()
    log.put_many(late)
    stats = log.close()
    assert (stats.written, stats.dropped) == (710, 0)
    assert stats.failed_batches >= 1
    assert {record.prediction_id for record in late} <= set(stored_ids(sqlite))


def test_no_row_is_lost_while_the_disk_is_full(sqlite: LogSettings) -> None:
    folder = Path(sqlite.database).parent
    with small_disk(folder, "4m"):
        check_outage(sqlite, fill_disk(folder))


def test_no_row_is_lost_while_the_file_size_is_limited(sqlite: LogSettings, tmp_path: Path) -> None:
    """Like a full disk, but without root: `RLIMIT_FSIZE` of the process is reached, and raised later."""
    program = """
import resource, sys, time
from skline.logs import writer
from skline.logs.settings import LogSettings
from tests.fixtures.clients import wait_until
from tests.skline.logs.conftest import prediction
writer.MAX_RETRY_SECONDS = 0.1
log = writer.PredictionLog(LogSettings(database=sys.argv[1], batch_ms=20))
log.put(prediction())
wait_until(lambda: log.stats().written == 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
log.put_many([prediction(inputs={"text": "x" * 1000}) for _ in range(2_000)])
wait_until(lambda: log.stats().failed_batches >= 3)
assert log.stats().last_error and log.stats().written < 2_001
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
stats = log.close()
assert (stats.written, stats.dropped, stats.rejected) == (2_001, 0, 0), stats
"""
    process = subprocess.run(
        [sys.executable, "-c", program, sqlite.database], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert process.returncode == 0, process.stderr
    assert len(stored_ids(sqlite)) == 2_001


def test_no_row_is_lost_while_postgresql_is_stopped(server: Server, tmp_path: Path) -> None:
    settings = LogSettings(database=server.database(), partitions=tmp_path / "predictions", batch_ms=20)

    def outage() -> Iterator[None]:
        server.stop()
        try:
            yield
        finally:
            server.start()

    check_outage(settings, outage())


def test_log_starts_and_counts_rows_while_postgresql_is_unreachable(tmp_path: Path) -> None:
    settings = LogSettings(
        database="postgresql://nobody@127.0.0.1:1/none", partitions=tmp_path / "p", queue_rows=100, drain_seconds=0.1
    )
    log = PredictionLog(settings)
    accepted = sum(log.put(prediction()) for _ in range(500))
    wait_until(lambda: log.stats().failed_batches)
    stats = log.close()
    assert stats.written == 0
    assert 500 - accepted <= stats.dropped
    assert "refused" in str(stats.last_error)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sigkill_loses_at_most_a_batch_and_in_sync_mode_no_row(settings: LogSettings, mode: str) -> None:
    command = [sys.executable, "-m", "tests.skline.logs.write_load", mode, settings.database, str(settings.partitions)]
    for count in (1, 300, 1_500):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        returned = [child.stdout.readline().decode().strip() for _ in range(count)]
        child.send_signal(signal.SIGKILL)
        returned += child.stdout.read().decode().split()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        lost = set(returned) - set(stored_ids(settings))
        print(f"{mode}: {len(returned)} returned, {len(lost)} lost")
        assert len(lost) <= (0 if mode == "sync" else settings.batch_rows)
    if not settings.is_postgres:
        with closing(sqlite3.connect(settings.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
