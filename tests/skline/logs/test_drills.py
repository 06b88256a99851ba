"""Drills: processes that are killed, disks that are full, stores that go away and come back."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from skline.logs.writer import PredictionLog
from tests.demo import ROOT
from tests.postgres import Server
from tests.skline.logs.conftest import prediction, until


class Load:
    """A thread that hands over predictions and never minds; the ids of those that were taken."""

    def __init__(self, log: PredictionLog) -> None:
        self.taken: list[str] = []
        self._log, self._over = log, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.002):
            record = prediction()
            if self._log.put(record):
                self.taken.append(record.prediction_id)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def stored(settings: LogSettings) -> list[str]:
    found: list[str] = read_predictions(settings)["prediction_id"].to_pylist()
    assert len(found) == len(set(found))
    return found


def goes_away_and_comes_back(settings: LogSettings, away: Iterator[None]) -> None:
    """Under load the store goes away at the first step of `away` and comes back at the second; the log goes on."""
    log = PredictionLog(settings)
    with Load(log) as load:
        until(lambda: log.stats().written)
        next(away)
        failed = log.stats().failed_batches
        until(lambda: log.stats().failed_batches >= failed + 3)
        assert log.stats().last_error
        list(away)
        written = log.stats().written
        until(lambda: log.stats().written > written + 100)
        assert log.stats().last_error is None
    stats = log.close()
    assert (stats.dropped, stats.refused, stats.queued) == (0, 0, 0)
    assert stats.written == len(load.taken)
    assert sorted(stored(settings)) == sorted(load.taken)


def test_a_locked_database(sqlite: LogSettings) -> None:
    def away() -> Iterator[None]:
        with closing(sqlite3.connect(sqlite.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    goes_away_and_comes_back(sqlite, away())


def test_a_directory_that_cannot_be_made(sqlite: LogSettings) -> None:
    folder = Path(sqlite.database).parent
    folder.write_text("a file where the directory should be")
    log = PredictionLog(sqlite)
    with Load(log) as load:
        until(lambda: log.stats().failed_batches >= 2)
        folder.unlink()
        until(lambda: log.stats().written)
    log.close()
    assert sorted(stored(sqlite)) == sorted(load.taken)


@pytest.mark.parametrize("what", ["the directory", "the file", "the write-ahead log"])
def test_files_that_are_deleted_are_made_again_and_no_batch_afterwards_is_lost(sqlite: LogSettings, what: str) -> None:
    folder = Path(sqlite.database).parent
    log = PredictionLog(sqlite)
    early, late = [prediction() for _ in range(10)], [prediction() for _ in range(700)]
    log.put_many(early)
    until(lambda: log.stats().written == 10)
    if what == "the directory":
        shutil.rmtree(folder)
    else:
        Path(sqlite.database + ("-wal" if "log" in what else "")).unlink()
    log.put_many(late)
    stats = log.close()
    assert (stats.written, stats.dropped) == (710, 0)
    assert stats.failed_batches >= 1
    assert {record.prediction_id for record in late} <= set(stored(sqlite))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own; skips where it may not be mounted."""
    folder.mkdir()
    leave = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if leave and shutil.which("sudo") is None:
        pytest.skip("mounting a small disk needs root")
    if subprocess.run(
        [*leave, "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=False
    ).returncode:
        pytest.skip("mounting a small disk is not allowed")
    try:
        yield
    finally:
        subprocess.run([*leave, "umount", str(folder)], check=True)


def full(folder: Path) -> Iterator[None]:
    """The disk of `folder` is full until it is asked for the next."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            for size in itertools.repeat(4096):
                file.write(b"x" * size)
        except OSError:
            pass  # full
    yield
    ballast.unlink()


def test_a_full_disk(sqlite: LogSettings) -> None:
    folder = Path(sqlite.database).parent
    with small_disk(folder, "4m"):
        goes_away_and_comes_back(sqlite, full(folder))


def test_a_file_that_may_not_grow(sqlite: LogSettings, tmp_path: Path) -> None:
    """The same without root: a process whose files are limited writes what fits, says so, and goes on when it may."""
    program = """
import resource, sys, time
from skline.logs import writer
from skline.logs.settings import LogSettings
from tests.skline.logs.conftest import prediction, until
writer.LONGEST_PAUSE = 0.1
log = writer.PredictionLog(LogSettings(database=sys.argv[1], batch_ms=20))
log.put(prediction())
until(lambda: log.stats().written == 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
log.put_many([prediction(inputs={"text": "x" * 1000}) for _ in range(2_000)])
until(lambda: log.stats().failed_batches >= 3)
assert log.stats().last_error and log.stats().written < 2_001
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
stats = log.close()
assert (stats.written, stats.dropped, stats.refused) == (2_001, 0, 0), stats
"""
    done = subprocess.run(
        [sys.executable, "-c", program, sqlite.database], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(stored(sqlite)) == 2_001


def test_postgresql_stopped_and_started_again(server: Server, tmp_path: Path) -> None:
    settings = LogSettings(database=server.database(), partitions=tmp_path / "predictions", batch_ms=20)

    def away() -> Iterator[None]:
        server.stop()
        try:
            yield
        finally:
            server.start()

    goes_away_and_comes_back(settings, away())


def test_postgresql_that_is_away_when_the_service_starts(tmp_path: Path) -> None:
    settings = LogSettings(
        database="postgresql://nobody@127.0.0.1:1/none", partitions=tmp_path / "p", queue_rows=100, drain_seconds=0.1
    )
    log = PredictionLog(settings)
    taken = sum(log.put(prediction()) for _ in range(500))
    until(lambda: log.stats().failed_batches)
    stats = log.close()
    assert stats.written == 0
    assert 500 - taken <= stats.dropped
    assert "refused" in str(stats.last_error)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_kill_9_under_load(settings: LogSettings, mode: str) -> None:
    command = [sys.executable, "-m", "tests.skline.logs.load", mode, settings.database, str(settings.partitions)]
    for enough in (1, 300, 1_500):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        answered = [child.stdout.readline().decode().strip() for _ in range(enough)]
        child.send_signal(signal.SIGKILL)
        answered += child.stdout.read().decode().split()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        lost = set(answered) - set(stored(settings))
        print(f"{mode}: {len(answered)} answered, {len(lost)} lost")
        assert len(lost) <= (0 if mode == "sync" else settings.batch_rows)
    if not settings.is_postgres:
        with closing(sqlite3.connect(settings.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
