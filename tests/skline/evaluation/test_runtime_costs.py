"""The cost of a row is its processor time: waiting for the processor does not count, and several rounds give bounds."""

import time

import psutil
import pytest

from skline.artifact import Artifact
from skline.evaluation.runtime_costs import (
    ROUND_ROWS,
    ROUNDS,
    WARM_UP_ROWS,
    measure_costs,
    resident_megabytes,
    time_rounds,
)
from tests.fixtures import demo


def test_time_in_which_the_process_waits_does_not_count() -> None:
    started = time.perf_counter()
    times = time_rounds(lambda _: time.sleep(0.002), [None])
    elapsed = (time.perf_counter() - started) * 1e3
    assert len(times) == ROUNDS
    assert sum(times) * ROUND_ROWS < elapsed / 3


def test_computation_counts() -> None:
    def spin(_: object) -> None:
        started = time.thread_time()
        while time.thread_time() - started < 0.001:
            pass

    assert min(time_rounds(spin, [None])) >= 1.0


def test_each_round_scores_rows_in_turn() -> None:
    scored: list[int] = []
    time_rounds(scored.append, [0, 1, 2])
    assert len(scored) == WARM_UP_ROWS + ROUNDS * ROUND_ROWS
    assert scored[WARM_UP_ROWS:] == [index % 3 for index in range(ROUNDS * ROUND_ROWS)]


def test_the_bounds_of_an_artifact_enclose_its_latency(packaged: demo.Packaged) -> None:
    costs = measure_costs(Artifact.open(packaged.folder, packaged.digest), packaged.folder)
    assert 0 < costs.latency_low_ms <= costs.latency_ms <= costs.latency_high_ms
    assert costs.artifact_mb == pytest.approx(sum(f.stat().st_size for f in packaged.folder.iterdir()) / 1e6, abs=0.01)


def test_a_megabyte_is_a_million_bytes() -> None:
    """As in the size of the artifact; with 2**20 bytes the same memory is a twentieth less."""
    assert resident_megabytes() == pytest.approx(psutil.Process().memory_info().rss / 1e6, rel=0.02)
