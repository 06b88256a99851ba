"""Tests of what is read of a log: samples of large windows, and all counts."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from skline.logs import maintenance
from skline.monitoring.reader import LogReader, Stretch
from skline.monitoring.run import Job
from tests.skline.monitoring.conftest import DAY, END

WINDOW = (END - 7 * DAY, END)


@pytest.fixture
def reader(fill: Callable[..., None], job: Job) -> Iterator[LogReader]:
    """A log of nine days with 400 rows each, the older ones sealed; a tenth of the rows have a label."""
    fill(END, 9, 400, labels=0.1, review=0.2)
    maintenance.seal(job.log, (END - 3 * DAY).date())
    with LogReader(job.log, job.artifact.contract, job.needed_since, END, END) as opened:
        yield opened


def test_large_window_is_sampled_and_rare_labels_are_all_read(reader: LogReader) -> None:
    reader.sample([Stretch(*WINDOW), Stretch(*WINDOW, labelled=True)], 1_000)
    rows, labelled = reader.read(*WINDOW, 1_000), reader.read(*WINDOW, 1_000, labelled=True)
    assert 850 < len(rows) < 1_150
    everything = reader.read(END - 7 * DAY, END - DAY / 2**30, 100_000)
    assert len(everything) == 2_800
    assert len(labelled) == everything.labelled.sum()
    assert np.isin(rows.times, everything.times).all()
    assert (np.diff(everything.times) >= 0).all()


def test_counts_are_of_all_rows(reader: LogReader, job: Job) -> None:
    counts = reader.summarize(*WINDOW)
    assert (counts.rows, counts.broken, counts.conflicting_labels) == (2_800, 0, 0)
    assert counts.by_digest == {job.artifact.digest: 2_800}
    assert counts.by_path == {"plan": 2_800}
    assert counts.latency_ms == {"p50": 0.9, "p95": 0.9, "p99": 0.9}
    assert 450 < counts.reviewed < 670
    assert reader.count(*WINDOW) == 2_800
    assert reader.summarize(END + DAY, END + 2 * DAY).rows == 0
