"""The rows of one request are written together, and what is stored is what each of them would be by itself."""

import datetime as dt
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.logs.answered import Answered
from skline.logs.queue import RowQueue, runs
from skline.logs.records import Prediction, new_prediction_id
from skline.logs.settings import LogSettings
from skline.logs.sqlite import SqliteStore
from skline.logs.store import RowsRefused
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


def answered(rows: Sequence[tuple[Any, ...]], *, classes: bool = True) -> Answered:
    contents = [
        {"prediction": prediction, "prediction_id": new_prediction_id()}
        | ({"probabilities": chances} if classes else {})
        for _, prediction, chances, _ in rows
    ]
    return Answered(SHARED, [inputs for inputs, *_ in rows], contents, [reviewed for *_, reviewed in rows])


def one_by_one(rows: Sequence[tuple[Any, ...]], ids: Sequence[str], *, classes: bool = True) -> list[Prediction]:
    """The predictions that `answered` should be, in words of their own."""
    return [
        SHARED._replace(
            prediction_id=name,
            inputs=inputs,
            prediction=prediction,
            probabilities=chances if classes else None,
            review=reviewed,
        )
        for name, (inputs, prediction, chances, reviewed) in zip(ids, rows, strict=True)
    ]


def ids_of(request: Answered) -> list[str]:
    return [prediction.prediction_id for prediction in request.predictions()]


def log_at(path: Path, **other: Any) -> PredictionLog:
    return PredictionLog(LogSettings(database=str(path), partitions=path.parent / "parts", **other))


def stored(path: Path, handed_over: Answered | list[Prediction]) -> list[tuple[Any, ...]]:
    """What a log keeps of what is handed over; without the rows' numbers."""
    log = log_at(path)
    if isinstance(handed_over, Answered):
        assert log.put_answered(handed_over)
    else:
        assert log.put_many(handed_over) == len(handed_over)
    log.close()
    with sqlite3.connect(path) as connection:
        return [row[1:] for row in connection.execute("SELECT * FROM predictions ORDER BY prediction_id")]


@settings(max_examples=30)
@given(rows=ROWS, classes=st.booleans())
def test_together_rows_are_stored_as_they_are_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], classes: bool
) -> None:
    folder = tmp_path_factory.mktemp("answered")
    request = answered(rows, classes=classes)
    together = stored(folder / "together.db", request)
    assert together == stored(folder / "alone.db", one_by_one(rows, ids_of(request), classes=classes))
    assert len(together) == len(rows)


@pytest.mark.parametrize(
    ("other", "whole"),
    [
        ({}, True),
        ({"mode": "sync"}, False),
        ({"columns": ("a",)}, False),
        ({"entity_column": "a"}, False),
        ({"event_time_column": "day"}, False),
    ],
)
def test_rows_stay_together_where_nothing_is_to_be_done_to_each(
    tmp_path: Path, other: dict[str, Any], whole: bool
) -> None:
    key = {"entity_key_file": tmp_path / "key"} if "entity_column" in other else {}
    log = log_at(tmp_path / "p.db", **other, **key)
    assert log.whole is whole
    log.close()


def test_what_json_cannot_hold_is_refused_before_it_is_handed_over() -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, 0) for number in range(40)]
    rows[7] = ({"a": "\ud800"}, True, {"true": 1.0}, 0)
    with pytest.raises(TypeError):
        answered(rows)


def test_a_row_that_the_store_refuses_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, number % 3) for number in range(40)]
    write = SqliteStore.write

    def refuse_the_seventh(store: SqliteStore, table: Any, some: Sequence[Any]) -> int:
        if any('{"a":7}' in row for row in some):
            raise RowsRefused("no sevens")
        return write(store, table, some)

    def refuse(*_: object) -> bool:
        raise RowsRefused("one of them")

    monkeypatch.setattr(SqliteStore, "write", refuse_the_seventh)
    monkeypatch.setattr(SqliteStore, "write_answered", refuse)
    log = log_at(tmp_path / "p.db")
    log.put_answered(answered(rows))
    stats = log.close()
    assert (stats.written, stats.refused, stats.dropped) == (39, 1, 0)


def test_the_same_rows_again_are_stored_once(tmp_path: Path) -> None:
    request = answered([({"a": number}, True, {"true": 1.0}, 0) for number in range(40)])
    store = SqliteStore(tmp_path / "p.db")
    for _ in range(3):
        assert store.write_answered(request)
    assert store.count("predictions").rows == 40
    store.close()


def test_the_rows_of_a_request_stay_together_in_the_queue_and_none_is_taken_when_it_is_full() -> None:
    queue = RowQueue(5)
    first, second, third = (answered([({"a": number}, True, {"true": 1.0}, 0) for number in range(4)]) for _ in "123")
    alone = first.predictions()[0]
    assert queue.add(alone)
    assert (queue.add_all(first), queue.add_all(second)) == (True, False)
    assert len(queue) == 5
    assert list(runs(queue.take(3))) == [[(alone, None)]]
    assert list(runs(queue.take(3))) == [first]
    assert len(queue) == 0
    assert (queue.add_all(second), queue.add(alone), queue.add(alone), queue.add_all(third)) == (
        True,
        True,
        False,
        False,
    )
    assert list(runs(queue.take(100))) == [second, [(alone, None)]]


def test_a_request_larger_than_the_queue_is_taken_when_it_is_not_full() -> None:
    queue = RowQueue(3)
    request = answered([({"a": number}, True, {"true": 1.0}, 0) for number in range(9)])
    assert (queue.add_all(request), queue.add_all(request), len(queue)) == (True, False, 9)


def test_a_request_can_be_told_row_by_row() -> None:
    request = answered(
        [({"a": number, "day": dt.date(2013, 7, 4)}, number % 2, {"0": 0.5}, number % 3) for number in range(5)]
    )
    assert [record.inputs["a"] for record in request.predictions()] == [0, 1, 2, 3, 4]
    third = request.predictions()[3]
    assert (third.prediction, third.review, third.request_id) == (1, 0, "request-1")
    assert third.inputs["day"] == "2013-07-04"
