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


def stored(path: Path, handed_over: Sequence[Prediction], **other: Any) -> list[tuple[Any, ...]]:
    """What a log keeps of what is handed over; without the rows' numbers."""
    log = PredictionLog(LogSettings(database=str(path), partitions=path.parent / "parts", **other))
    log.put_many(handed_over)
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
    assert together == stored(folder / "alone.db", list(request))
    assert len(together) == len(rows)


@pytest.mark.parametrize("other", [{"columns": ("a",)}, {"entity_column": "a"}, {"event_time_column": "day"}])
def test_what_is_to_be_done_to_a_row_is_done_to_those_of_a_request(tmp_path: Path, other: dict[str, Any]) -> None:
    row = {"a": 1, "b": "two", "day": dt.date(2013, 7, 4)}
    request = answered([(row | {"a": number}, True, {"true": 1.0}, 0) for number in range(40)])
    key = {"entity_key_file": tmp_path / "key"} if "entity_column" in other else {}
    together = stored(tmp_path / "together.db", request, **other, **key)
    assert together == stored(tmp_path / "alone.db", list(request), **other, **key)
    inputs, entity, event = together[0][5], together[0][10], together[0][11]
    assert ("two" in inputs, entity is None, event is None) == (
        "columns" not in other,
        "entity_column" not in other,
        "event_time_column" not in other,
    )


def test_a_row_that_cannot_be_stored_costs_no_other(tmp_path: Path) -> None:
    rows: list[Any] = [({"a": number}, True, {"true": 1.0}, 0) for number in range(40)]
    rows[7] = ({"a": "\ud800"}, True, {"true": 1.0}, 0)
    request = answered(rows)
    log = PredictionLog(LogSettings(database=str(tmp_path / "p.db"), partitions=tmp_path / "parts"))
    log.put_many(request)
    stats = log.close()
    assert (stats.written, stats.refused, stats.dropped) == (39, 1, 0)


def test_the_same_rows_again_are_stored_once(tmp_path: Path) -> None:
    request = answered([({"a": number}, True, {"true": 1.0}, 0) for number in range(40)])
    store = SqliteStore(tmp_path / "p.db")
    for start, stop in ((0, 20), (10, 40), (0, 40)):
        assert store.write_answered(request, start, stop)
    assert store.count("predictions").rows == 40
    store.close()


def test_a_full_queue_takes_the_first_rows_of_a_request() -> None:
    queue = RowQueue(5)
    first, second = (answered([({"a": number}, True, {"true": 1.0}, 0) for number in range(3)]) for _ in range(2))
    assert queue.add(first[0])
    assert (queue.extend_by(first), queue.extend_by(second), queue.extend_by(second)) == (3, 1, 0)
    assert list(runs(queue.take(3))) == [[(first[0], None)], (first, 0, 2)]
    assert list(runs(queue.take(9))) == [(first, 2, 3), (second, 0, 1)]
    assert len(queue) == 0


def test_a_request_is_a_sequence_of_its_predictions() -> None:
    request = answered([({"a": number}, number % 2, {"0": 0.5}, number % 3) for number in range(5)])
    assert [record.inputs["a"] for record in request] == [0, 1, 2, 3, 4]
    assert request[-1] == request[1:][-1] == list(request)[4]
    assert (request[3].prediction, request[3].review, request[3].request_id) == (1, 0, "request-1")
