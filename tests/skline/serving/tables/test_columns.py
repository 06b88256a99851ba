"""Columns become the log's text and the response's table as rows do."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.spec import Column
from skline.ids import concatenated_prediction_ids
from skline.logs.columns_text import rows_text
from skline.logs.request_rows import RequestRows
from skline.scoring.datetimes import to_datetime64
from skline.scoring.scores import Scores
from skline.scoring.string_column import StringColumn
from skline.serving.models.response import ResponseBuilder
from skline.serving.observability.metrics import count_missing, count_unseen
from skline.serving.tables.thrift import CompactReader
from skline.serving.tables.writing import table_of_contents, table_of_scores

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "integer": st.integers(-(2**53), 2**53),
    "boolean": st.booleans(),
    "string": st.text(st.characters(codec="utf-8"), max_size=8),
    "date": st.dates(dt.date(1, 1, 1)),
    "datetime": st.datetimes(dt.datetime(1, 1, 1)),
}
COLUMNS = [Column(name=kind, kind=kind, description="d", nullable=True) for kind in VALUES]  # type: ignore[arg-type]


def storage(column: Column, values: list[Any]) -> Any:
    """A column as a validated table has it."""
    if column.kind == "string":
        return StringColumn([*values, None], np.arange(len(values)))
    return to_datetime64(values) if column.kind in ("date", "datetime") else np.array(values, dtype=column.storage)


@given(st.data())
def test_text_of_columns_is_that_of_rows(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 6))
    rows = [{kind: data.draw(st.one_of(st.none(), values)) for kind, values in VALUES.items()} for _ in range(size)]
    share = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    scores = Scores(share > 0.5, np.column_stack([1 - share, share]))
    builder = ResponseBuilder("v", [False, True], path="plan")
    contents = builder.rows(scores, [f"{index:032}" for index in range(size)])
    expected = RequestRows(SimpleNamespace(_replace=lambda **_: None), rows, contents, [0] * size)  # type: ignore[arg-type]
    values = {column.name: storage(column, [row[column.name] for row in rows]) for column in COLUMNS}
    text = rows_text(COLUMNS, values, scores, builder.class_names)
    assert orjson.loads(text) == orjson.loads(expected.text)
    assert repr(orjson.loads(text)) == repr(orjson.loads(expected.text))  # also -0.0 and 1.0 as they are


@pytest.mark.parametrize("half_width", [None, 2.5])
def test_table_of_a_regression_is_that_of_its_rows(half_width: float | None) -> None:
    scores = Scores(np.array([1.5, -3.0, 1e300]), None)
    builder = ResponseBuilder("v", None, path="plan", half_width=half_width)
    contract: Any = SimpleNamespace(classes=None)
    ids = concatenated_prediction_ids(3)
    contents = builder.rows(scores, [ids[start : start + 32].decode() for start in (0, 32, 64)])
    assert table_of_scores(scores, builder, ids, contract, {}).to_pylist() == contents
    assert table_of_contents(contents, contract, {}).to_pylist() == contents


def test_members_that_only_some_rows_have_are_columns() -> None:
    contract: Any = SimpleNamespace(classes=["a", "b"], target=SimpleNamespace(kind="string"))
    contents = [
        {"prediction": "a", "probabilities": {"a": 1.0, "b": 0.0}, "model_version": "v", "prediction_id": "1"},
        {"prediction": "b", "model_version": "rule", "prediction_id": "2", "fallback": "rule"},
    ]
    table = table_of_contents(contents, contract, {"a": "yes"})
    assert table.column("prediction").to_pylist() == ["yes", "b"]
    assert table.column("probabilities").to_pylist() == [{"yes": 1.0, "b": 0.0}, None]
    assert table.column("fallback").to_pylist() == [None, "rule"]


def test_missing_and_unseen_values_are_counted_as_in_rows() -> None:
    texts = StringColumn(["a", "b", None, "a"], np.array([0, 1, 2, 3, 3, 1]))
    assert (count_missing(texts), count_unseen(texts, {"a"})) == (1, 2)
    assert count_missing(np.array([1.0, np.nan])) == 1
    assert count_missing(np.array(["2024-01-01", "NaT"], dtype="datetime64[us]")) == 1
    assert count_missing(np.array([1, 2])) == 0


@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_an_error(data: bytes) -> None:
    reader = CompactReader(data, 0)
    try:
        reader.struct()
    except ValueError:
        return
    assert 0 < reader.position <= len(data)
