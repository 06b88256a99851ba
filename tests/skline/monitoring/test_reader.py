"""Tests of what is read of a log: samples of large windows, and all counts."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.logs import maintenance
from skline.logs.records import StoredRow, to_us
from skline.logs.schema import TABLES
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.logs.stores.base import Store
from skline.monitoring import log_tables
from skline.monitoring.job import Job
from skline.monitoring.log_tables import Period
from skline.monitoring.reader import TEMPORARY_PREFIX, LogReader
from skline.monitoring.rows import LoggedRows
from tests.fixtures.postgres import Server
from tests.skline.monitoring.conftest import DAY, END

WINDOW = Period(END - 7 * DAY, END)
LABELLED = WINDOW._replace(labelled=True)
EMPTY = Period(END + DAY, END + 2 * DAY)


@pytest.fixture
def large_log(fill: Callable[..., None], job: Job) -> Job:
    """A log of nine days with 400 rows each, the older ones sealed; a tenth of the rows have a label."""
    fill(END, 9, 400, labels=0.1, review=0.2)
    maintenance.seal(job.log, (END - 3 * DAY).date())
    return job


def open_reader(job: Job, max_rows: int = 100_000) -> LogReader:
    return LogReader(job.log, job.artifact.contract, [WINDOW, LABELLED], END, [EMPTY], max_rows)


def test_large_window_is_sampled_and_rare_labels_are_all_read(large_log: Job) -> None:
    with open_reader(large_log) as reader:
        everything = reader.read(WINDOW)
    with open_reader(large_log, 1_000) as reader:
        rows, labelled = reader.read(WINDOW), reader.read(LABELLED)
    assert 850 < len(rows) < 1_150
    assert len(everything) == 2_800
    assert len(labelled) == everything.labelled.sum()
    assert np.isin(rows.times, everything.times).all()
    assert (np.diff(everything.times) >= 0).all()


def test_log_without_inputs_is_read(fill: Callable[..., None], job: Job) -> None:
    """`SKLINE_LOG__COLUMNS=[]` stores predictions and labels only."""
    fill(END, 2, 100)
    log = job.log.model_copy(update={"columns": ()})
    with open_reader(dataclasses.replace(job, log=log)) as reader:
        rows = reader.read(WINDOW)
    assert rows.inputs == {}
    assert len(rows) == 200
    assert rows.labelled.mean() > 0.9


def test_error_of_the_query_engine_is_one_of_skline_and_names_the_setting_of_the_memory(large_log: Job) -> None:
    with pytest.raises(SklineError, match=r"Out of Memory.*raise monitor\.memory_mb"):
        LogReader(large_log.log, large_log.artifact.contract, [WINDOW], END, memory_mb=1)
    reader = open_reader(large_log)
    reader.close()
    for read in (reader.read, reader.summarize, reader.count):
        with pytest.raises(SklineError, match="the prediction log cannot be read"):
            read(WINDOW)


def test_names_that_differ_only_in_case_are_told_apart(job: Job) -> None:
    contract = Contract(
        title="", columns=(Column(name="x", kind="number"), Column(name="X", kind="string"),
                           Column(name="y", kind="string", role="target")),
        task="multiclass", classes=("a", "A", "b"),
    )  # fmt: skip
    probabilities, inputs = {"a": 0.5, "A": 0.2, "b": 0.3}, {"x": 1.5, "X": "two"}
    with closing(open_store(job.log)) as store:
        row = (
            "p1", to_us(END - DAY), "demo", job.artifact.digest, "plan", json.dumps(inputs), '"a"',
            json.dumps(probabilities), 900, "r", None, None, 0, "champion", None, None, None, None,
        )  # fmt: skip
        store.write("predictions", [row])
        store.write("labels", [("l1", to_us(END) - 1, "p1", None, None, '"A"')])
    with LogReader(job.log, contract, [WINDOW], END) as reader:
        rows = reader.read(WINDOW)
    assert rows.probabilities is not None
    assert rows.probabilities.tolist() == [[0.5, 0.2, 0.3]]
    assert (rows.predicted.tolist(), rows.truth.tolist()) == ([0], [1])
    assert (rows.inputs["x"].tolist(), rows.inputs["X"].tolist()) == ([1.5], ["two"])


def test_postgresql_gives_the_same_rows(fill: Callable[..., None], job: Job, server: Server) -> None:
    fill(END, 9, 60, entities=20, review=0.2)
    other = LogSettings(database=server.database(), partitions=job.log.partitions)
    with closing(open_store(job.log)) as source, closing(open_store(other)) as target:
        for table in TABLES:
            for rows in source.read(table):
                target.write(table, rows)
    read, counts = [], []
    for log in (job.log, other):
        with open_reader(dataclasses.replace(job, log=log)) as reader:
            read.append(reader.read(WINDOW))
            counts.append(reader.summarize(WINDOW))
    assert len(read[0]) == 420
    assert counts[0] == counts[1]
    for name in ("times", "truth", "scores", "reviews", "entities"):
        np.testing.assert_array_equal(getattr(read[0], name), getattr(read[1], name), err_msg=name)
    for name, values in read[0].inputs.items():
        np.testing.assert_array_equal(values, read[1].inputs[name], err_msg=name)


def test_counts_are_of_all_rows(large_log: Job) -> None:
    with open_reader(large_log, 1_000) as reader:
        counts, nothing = reader.summarize(WINDOW), reader.summarize(EMPTY)
        assert reader.count(WINDOW) == 2_800
    assert (counts.rows, counts.broken, counts.conflicting_labels) == (2_800, 0, 0)
    assert counts.by_digest == {large_log.artifact.digest: 2_800}
    assert counts.by_path == {"plan": 2_800}
    assert counts.latency_ms == {"p50": 0.9, "p95": 0.9, "p99": 0.9}
    assert 450 < counts.reviewed < 670
    assert (nothing.rows, nothing.latency_ms) == (0, {})


def damage(job: Job) -> None:
    """Log predictions whose JSON is broken, and labels that contradict each other."""
    start = to_us(END - 2 * DAY)
    with closing(open_store(job.log)) as store:
        store.write(
            "predictions",
            [
                (
                    f"broken{number:026}", start + number, "demo", job.artifact.digest, "plan", '{"carrier": ', "true",
                    None, 900, "r", None, None, 0, "champion", None, None, None, None,
                )
                for number in range(7)
            ],
        )  # fmt: skip
        rows = [row[0] for rows in store.read("predictions") for row in rows if row[0] < "1"][:40]
        labels = [(name, label) for name in rows for label in (f'"{name}"', "false")]
        store.write(
            "labels",
            [(f"other{number:027}", to_us(END) - 1, name, None, None, label)
             for number, (name, label) in enumerate(labels)],
        )  # fmt: skip


def assert_same(one: LoggedRows, other: LoggedRows) -> None:
    for name in ("times", "arms", "truth", "scores", "reviews", "entities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name, values in one.inputs.items():
        np.testing.assert_array_equal(values, other.inputs[name], err_msg=name)


@pytest.mark.parametrize("chunk_rows", [150, 10**9])
def test_rows_of_the_database_give_what_sealed_days_give(
    fill: Callable[..., None], job: Job, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    fill(END, 9, 400, labels=0.3, entities=50, review=0.2)
    damage(job)
    chunks = log_tables._chunks

    def slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        for chunk in chunks(batches):
            yield from (chunk.slice(start, chunk_rows) for start in range(0, len(chunk), chunk_rows))

    monkeypatch.setattr(log_tables, "_chunks", slices)
    monkeypatch.setattr(log_tables, "CHUNK_ROWS", chunk_rows)
    with open_reader(job, 1_000) as reader:
        summary, rows = reader.summarize(WINDOW), [reader.read(period) for period in (WINDOW, LABELLED)]
    maintenance.seal(job.log, END.date())
    with open_reader(job, 1_000) as reader:
        assert reader.summarize(WINDOW) == summary
        for one, other in zip(rows, (WINDOW, LABELLED), strict=True):
            assert_same(one, reader.read(other))
    assert (summary.rows, summary.broken, summary.conflicting_labels) == (2_807, 7, 40)
    assert 850 < len(rows[0]) < 1_150


def test_days_that_are_sealed_meanwhile_are_read_again(
    fill: Callable[..., None], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(END, 9, 100)
    with open_reader(job) as reader:
        summary, rows = reader.summarize(WINDOW), reader.read(WINDOW)
    read, days = log_tables.LogTables._read_unsealed, iter([END - 3 * DAY, END - DAY])

    def seal_first(tables: log_tables.LogTables, store: Store, since: dt.datetime) -> None:
        day = next(days, None)
        if day is not None:
            maintenance.seal(job.log, day.date())
        read(tables, store, since)

    monkeypatch.setattr(log_tables.LogTables, "_read_unsealed", seal_first)
    with open_reader(job) as reader:
        assert reader.summarize(WINDOW) == summary
        assert_same(rows, reader.read(WINDOW))
    assert next(days, None) is None


def test_days_that_are_sealed_all_the_time_are_an_error(
    fill: Callable[..., None], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(END, 9, 10)
    monkeypatch.setattr(log_tables, "MAX_ATTEMPTS", 2)
    days = iter([END - 3 * DAY, END - 2 * DAY])
    monkeypatch.setattr(log_tables.LogTables, "_read_unsealed", lambda *_: maintenance.seal(job.log, next(days).date()))
    with pytest.raises(SklineError, match="its days are being sealed"):
        open_reader(job)
    assert not [*job.log.folder.glob(f"{TEMPORARY_PREFIX}*")]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty log."""
    is_sqlite = request.param == "sqlite"
    database = str(tmp_path / "log.db") if is_sqlite else request.getfixturevalue("server").database()
    with closing(open_store(LogSettings(database=database))) as opened:
        yield opened


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | st.integers(0, 2**53), TEXTS), min_size=2, max_size=20))
def test_batches_of_a_store_hold_what_was_written(
    store: Store, labels: list[tuple[str | None, int | None, str]]
) -> None:
    start = (store.summarize("labels").last or 0) + 1
    rows: list[StoredRow] = [(f"{time:09}", time, None, *label) for time, label in enumerate(labels, start)]
    store.write("labels", rows)
    names = ("label_id", "entity", "event_time", "label")
    batches = store.read_batches("labels", names, start + 1, start + len(rows))
    read = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert sorted(read, key=lambda row: row[0]) == [(row[0], *row[3:]) for row in rows[1:]]
