"""Tests of RequestRows: the rows of a request are written together, and stored as if written one by one."""

import datetime as dt
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.ids import new_prediction_id
from skline.logs.queue import RowQueue, group_items
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows
from skline.logs.settings import LogSettings
from skline.logs.stores.base import RowsRejected
from skline.logs.stores.sqlite import SqliteStore
from skline.logs.writer import PredictionLog

SHARED = Prediction("", 7, "flights@1", "d" * 64, "plan", {}, 0, None, 1_234, "request-1")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 5e-324, 1e22, 1.7976931348623157e308]
)
VALUES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | TEXTS | st.dates() | st.datetimes()
)  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.dictionaries(TEXTS, VALUES, max_size=4),
        st.booleans() | TEXTS | st.integers(0, 9),
        st.dictionaries(TEXTS, NUMBERS, min_size=1, max_size=3),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=9,
)


def request_rows(rows: Sequence[tuple[Any, ...]], *, classes: bool = True) -> RequestRows:
    """Build the log's rows of a request from (inputs, prediction, probabilities, review)."""
    contents = [
        {"prediction": prediction, "prediction_id": new_prediction_id()}
        | ({"probabilities": probabilities} if classes else {})
        for _, prediction, probabilities, _ in rows
    ]
    return RequestRows(SHARED, [inputs for inputs, *_ in rows], contents, [review for *_, review in rows])


def single_rows(rows: Sequence[tuple[Any, ...]], ids: Sequence[str], *, classes: bool = True) -> list[Prediction]:
    """Build the predictions that `request_rows` should be equal to."""
    return [
        SHARED._replace(
            prediction_id=name,
            inputs=inputs,
            prediction=prediction,
            probabilities=probabilities if classes else None,
            review=review,
        )
        for name, (inputs, prediction, probabilities, review) in zip(ids, rows, strict=True)
    ]


def ids_of(request: RequestRows) -> list[str]:
    return [prediction.prediction_id for prediction in request.predictions()]


def open_log(path: Path, **options: Any) -> PredictionLog:
    return PredictionLog(LogSettings(database=str(path), partitions=path.parent / "parts", **options))


def store_and_read(path: Path, rows: RequestRows | list[Prediction]) -> list[tuple[Any, ...]]:
    """Log rows, and read them from the table without `seq`."""
    log = open_log(path)
    if isinstance(rows, RequestRows):
        assert log.put_request(rows)
    else:
        assert log.put_many(rows) == len(rows)
    log.close()
    with closing(sqlite3.connect(path)) as connection:
        return [row[1:] for row in connection.execute("SELECT * FROM predictions ORDER BY prediction_id")]


@settings(max_examples=30)
@given(rows=ROWS, classes=st.booleans())
def test_rows_of_a_request_are_stored_as_single_rows_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], classes: bool
) -> None:
    folder = tmp_path_factory.mktemp("request_rows")
    request = request_rows(rows, classes=classes)
    together = store_and_read(folder / "together.db", request)
    assert together == store_and_read(folder / "alone.db", single_rows(rows, ids_of(request), classes=classes))
    assert len(together) == len(rows)


@pytest.mark.parametrize(
    ("options", "accepts"),
    [
        ({}, True),
        ({"mode": "sync"}, False),
        ({"columns": ("a",)}, False),
        ({"entity_column": "a"}, False),
        ({"event_time_column": "day"}, False),
    ],
)
def test_request_rows_are_accepted_only_if_rows_need_no_work_of_their_own(
    tmp_path: Path, options: dict[str, Any], accepts: bool
) -> None:
    key = {"entity_key_file": tmp_path / "key"} if "entity_column" in options else {}
    log = open_log(tmp_path / "p.db", **options, **key)
    assert log.accepts_request_rows is accepts
    log.close()


def test_value_that_json_cannot_hold_is_rejected_by_the_constructor() -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, 0) for number in range(40)]
    rows[7] = ({"a": "\ud800"}, True, {"true": 1.0}, 0)
    with pytest.raises(TypeError):
        request_rows(rows)


def test_row_that_the_database_rejects_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, number % 3) for number in range(40)]
    write = SqliteStore.write

    def reject_sevens(store: SqliteStore, table: Any, batch: Sequence[Any]) -> int:
        if any('{"a":7}' in row for row in batch):
            raise RowsRejected("no sevens")
        return write(store, table, batch)

    def reject(*_: object) -> bool:
        raise RowsRejected("one of them")

    monkeypatch.setattr(SqliteStore, "write", reject_sevens)
    monkeypatch.setattr(SqliteStore, "write_request", reject)
    log = open_log(tmp_path / "p.db")
    log.put_request(request_rows(rows))
    stats = log.close()
    assert (stats.written, stats.rejected, stats.dropped) == (39, 1, 0)


def test_rows_written_again_are_stored_once(tmp_path: Path) -> None:
    request = request_rows([({"a": number}, True, {"true": 1.0}, 0) for number in range(40)])
    store = SqliteStore(tmp_path / "p.db")
    for _ in range(3):
        assert store.write_request(request)
    assert store.summarize("predictions").rows == 40
    store.close()


def test_full_queue_accepts_none_of_the_rows_of_a_request() -> None:
    queue = RowQueue(5)
    first, second, third = (
        request_rows([({"a": number}, True, {"true": 1.0}, 0) for number in range(4)]) for _ in "123"
    )
    single = first.predictions()[0]
    assert queue.add(single)
    assert (queue.add_request(first), queue.add_request(second)) == (True, False)
    assert len(queue) == 5
    assert list(group_items(queue.take(3))) == [[(single, None)]]
    assert list(group_items(queue.take(3))) == [first]
    assert len(queue) == 0
    assert (queue.add_request(second), queue.add(single), queue.add(single), queue.add_request(third)) == (
        True,
        True,
        False,
        False,
    )
    assert list(group_items(queue.take(100))) == [second, [(single, None)]]


def test_request_larger_than_the_queue_is_accepted_unless_the_queue_is_full() -> None:
    queue = RowQueue(3)
    request = request_rows([({"a": number}, True, {"true": 1.0}, 0) for number in range(9)])
    assert (queue.add_request(request), queue.add_request(request), len(queue)) == (True, False, 9)


def test_request_rows_are_converted_to_single_predictions() -> None:
    request = request_rows(
        [({"a": number, "day": dt.date(2013, 7, 4)}, number % 2, {"0": 0.5}, number % 3) for number in range(5)]
    )
    assert [record.inputs["a"] for record in request.predictions()] == [0, 1, 2, 3, 4]
    third = request.predictions()[3]
    assert (third.prediction, third.review, third.request_id) == (1, 0, "request-1")
    assert third.inputs["day"] == "2013-07-04"


def test_entity_of_a_request_is_hashed_for_all_of_its_rows(tmp_path: Path) -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, 0) for number in range(3)]
    request = request_rows(rows)
    request.shared = request.shared._replace(entity="customer 7")
    single = [record._replace(entity="customer 7") for record in single_rows(rows, ids_of(request))]
    stored = store_and_read(tmp_path / "together.db", request)
    assert stored == store_and_read(tmp_path / "alone.db", single)
    [entity] = {row[list(Prediction._fields).index("entity")] for row in stored}
    assert re.fullmatch("[0-9a-f]{64}", entity)
    others = [record._replace(entity=None if number else "x") for number, record in enumerate(single)]
    entities = [row[list(Prediction._fields).index("entity")] for row in store_and_read(tmp_path / "other.db", others)]
    assert sorted(each is None for each in entities) == [False, True, True]
