"""Drills: a monitor that is killed, two at once, and a log that is sealed, locked or on a full disk meanwhile."""

import dataclasses
import datetime as dt
import multiprocessing
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from skline.errors import SklineError
from skline.logs import maintenance
from skline.monitoring.job import Job
from skline.monitoring.reader import TEMPORARY_PREFIX, LogReader
from skline.monitoring.result import WindowResult
from skline.monitoring.run import run
from skline.monitoring.state import read_state
from tests.fixtures.disk import fill_disk, small_disk
from tests.skline.monitoring.conftest import DAY, END

NOW = END + DAY
HOUR = dt.timedelta(hours=1)
KILLS = 8
# Processes are forked from one that has imported everything and has no threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def monitor_ends(job: Job, reports: Path, ends: list[dt.datetime], started: Event) -> None:
    """Monitor the windows that end then."""
    started.set()
    for end in ends:
        run(dataclasses.replace(job, end=end), reports, NOW)


def start(job: Job, reports: Path, ends: list[dt.datetime]) -> ForkServerProcess:
    started = PROCESSES.Event()
    process = PROCESSES.Process(target=monitor_ends, args=(job, reports, ends, started))
    process.start()
    assert started.wait(60)
    return process


@pytest.mark.slow
def test_run_after_a_killed_one_goes_on(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60)
    reports = tmp_path / "reports"
    ends = [END - number * HOUR for number in range(24)]
    moments = np.random.default_rng()
    killed = 0
    for _ in range(KILLS):
        process = start(job, reports, ends)
        time.sleep(moments.uniform(0, 0.6))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        windows = read_state(job.log.folder).windows
        for path in reports.glob("*/metrics.json"):
            WindowResult.model_validate_json(path.read_bytes())
        assert all((reports / window.name / "metrics.json").exists() for window in windows)
    assert killed == KILLS
    result = run(job, reports, NOW)
    assert result.window.rows == 420
    assert read_state(job.log.folder).windows[-1].name == result.window.name
    assert not list(job.log.folder.glob(f"{TEMPORARY_PREFIX}*"))


@pytest.mark.slow
def test_two_monitors_take_turns(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60)
    ends = [[END - (2 * number + offset) * HOUR for number in range(3)] for offset in range(2)]
    processes = [start(job, tmp_path / "reports", each) for each in ends]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [window.end for window in read_state(job.log.folder).windows] == sorted(ends[0] + ends[1])


def test_leftovers_of_a_killed_run_are_removed(fill: Callable[..., None], job: Job, tmp_path: Path) -> None:
    fill(END, 9, 60)
    leftover = job.log.folder / f"{TEMPORARY_PREFIX}killed"
    leftover.mkdir()
    (leftover / "2026-03-01.parquet").write_bytes(b"rows")
    run(job, tmp_path, NOW)
    assert not leftover.exists()


def open_reader(job: Job) -> LogReader:
    return job.open_log()


def test_rows_are_counted_once_if_their_day_is_sealed_again_meanwhile(fill: Callable[..., None], job: Job) -> None:
    fill(END, 9, 60)
    maintenance.seal(job.log, END.date())
    fill(END, 9, 10, seed=1)
    with open_reader(job) as reader:
        maintenance.seal(job.log, END.date())
        assert reader.count(job.window) == 7 * 70
        assert reader.summarize(job.window).rows == 7 * 70


def test_days_that_are_purged_meanwhile_are_still_read(fill: Callable[..., None], job: Job) -> None:
    fill(END, 9, 60)
    maintenance.seal(job.log, END.date())
    with open_reader(job) as reader:
        shutil.rmtree(job.log.partitions)
        assert len(reader.read(job.window)) == 420


@pytest.mark.slow
def test_log_that_is_sealed_meanwhile_gives_the_same_result(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60, entities=20)
    before = run(job, tmp_path, NOW)
    days = [END.date() - dt.timedelta(days=number) for number in range(9, -1, -1)]
    sealed: list[dt.date] = []

    def seal() -> None:
        for day in days:
            maintenance.seal(job.log, day)
            sealed.append(day)
            time.sleep(0.2)

    thread = threading.Thread(target=seal)
    thread.start()
    while thread.is_alive():
        assert run(job, tmp_path, NOW) == before
    thread.join()
    assert sealed == days
    assert run(job, tmp_path, NOW) == before


def test_log_is_read_while_its_writer_is_busy_and_not_while_it_is_locked(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    fill(END, 9, 60)
    before = run(job, tmp_path, NOW)
    other = sqlite3.connect(job.log.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert run(job, tmp_path, NOW) == before
    other.execute("ROLLBACK")
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    with pytest.raises(SklineError, match="locked"):
        run(job, tmp_path, NOW)
    other.close()
    assert run(job, tmp_path, NOW) == before
    assert len(read_state(job.log.folder).windows) == 1


def test_full_disk_keeps_the_state_and_the_next_run_goes_on(
    fill: Callable[..., None], job: Job, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    with small_disk(job.log.folder, "8m"):
        fill(END, 9, 60)
        earlier = run(dataclasses.replace(job, end=END - 7 * DAY), reports, NOW)
        disk = fill_disk(job.log.folder)
        next(disk)
        with pytest.raises((SklineError, OSError), match="(?i)no space|full"):
            run(job, reports, NOW)
        assert [window.name for window in read_state(job.log.folder).windows] == [earlier.window.name]
        next(disk, None)
        assert run(job, reports, NOW).window.rows == 420
        assert len(read_state(job.log.folder).windows) == 2
