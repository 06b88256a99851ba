"""Tests of what is read of a log: samples of large windows, and all counts."""

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest

from skline.logs import maintenance
from skline.logs.schema import TABLES
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.monitoring.csv_stream import read_batches
from skline.monitoring.reader import LogReader, Period
from skline.monitoring.run import Job
from tests.fixtures.postgres import Server
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
    reader.sample([Period(*WINDOW), Period(*WINDOW, labelled=True)], 1_000)
    rows, labelled = reader.read(*WINDOW, 1_000), reader.read(*WINDOW, 1_000, labelled=True)
    assert 850 < len(rows) < 1_150
    everything = reader.read(END - 7 * DAY, END - DAY / 2**30, 100_000)
    assert len(everything) == 2_800
    assert len(labelled) == everything.labelled.sum()
    assert np.isin(rows.times, everything.times).all()
    assert (np.diff(everything.times) >= 0).all()


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_csv_in_blocks_keeps_nulls_empty_texts_and_line_breaks(size: int) -> None:
    text = b'"a","1",""\n"line\nbreak, ""quoted""","2",\n'
    schema = pa.schema([("x", pa.string()), ("n", pa.int64()), ("y", pa.string())])
    blocks = (text[start : start + size] for start in range(0, len(text), size))
    rows = [row for batch in read_batches(blocks, schema) for row in batch.to_pylist()]
    assert rows == [{"x": "a", "n": 1, "y": ""}, {"x": 'line\nbreak, "quoted"', "n": 2, "y": None}]
    assert list(read_batches(iter([]), schema)) == []


def test_postgresql_gives_the_same_rows(fill: Callable[..., None], job: Job, server: Server) -> None:
    fill(END, 9, 60, entities=20, review=0.2)
    other = LogSettings(database=server.database(), partitions=job.log.partitions)
    with closing(open_store(job.log)) as source, closing(open_store(other)) as target:
        for table in TABLES:
            for rows in source.read(table):
                target.write(table, rows)
    read, counts = [], []
    for log in (job.log, other):
        with LogReader(log, job.artifact.contract, job.needed_since, END, END) as opened:
            read.append(opened.read(*WINDOW, 1_000))
            counts.append(opened.summarize(*WINDOW))
    assert len(read[0]) == 420
    assert counts[0] == counts[1]
    for name in ("times", "truth", "scores", "reviews", "entities"):
        np.testing.assert_array_equal(getattr(read[0], name), getattr(read[1], name), err_msg=name)
    for name, values in read[0].inputs.items():
        np.testing.assert_array_equal(values, read[1].inputs[name], err_msg=name)


def test_counts_are_of_all_rows(reader: LogReader, job: Job) -> None:
    counts = reader.summarize(*WINDOW)
    assert (counts.rows, counts.broken, counts.conflicting_labels) == (2_800, 0, 0)
    assert counts.by_digest == {job.artifact.digest: 2_800}
    assert counts.by_path == {"plan": 2_800}
    assert counts.latency_ms == {"p50": 0.9, "p95": 0.9, "p99": 0.9}
    assert 450 < counts.reviewed < 670
    assert reader.count(*WINDOW) == 2_800
    assert reader.summarize(END + DAY, END + 2 * DAY).rows == 0
