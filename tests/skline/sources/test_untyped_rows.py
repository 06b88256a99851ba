"""The types of rows without a schema fit all values, and do not depend on how the rows come in batches."""

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.sources.object_cells import cell_text, columns_of, flat
from skline.sources.untyped_rows import settled_stream

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-9, 9)
    | st.floats()
    | st.text(max_size=3)
    | st.dates()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.decimals(allow_nan=False, allow_infinity=False)
)


def settled(*batches: Sequence[Any]) -> pa.Array:
    with settled_stream(({"a": batch} for batch in batches), {}) as stream:
        return pa.Table.from_batches(stream.batches, stream.schema).column("a").combine_chunks()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None], pa.string()),
        ([True, None], pa.bool_()),
        ([1, 2**60], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([2**60, 0.5], pa.string()),
        ([2**64], pa.string()),
        ([1, "x"], pa.string()),
        ([True, 1], pa.string()),
        ([dt.date(2024, 1, 2)], pa.date32()),
        ([dt.datetime(2024, 1, 2)], pa.timestamp("us")),
        ([dt.datetime(2024, 1, 2, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")),
        ([dt.datetime(2024, 1, 2), dt.date(2024, 1, 2)], pa.string()),
        ([b"\x00"], pa.binary()),
        ([Decimal("1E+2")], pa.string()),
    ],
)
def test_column_gets_the_narrowest_type_that_holds_its_values(values: list[object], kind: pa.DataType) -> None:
    assert settled(values).type == kind


def test_values_without_a_common_type_are_their_texts() -> None:
    values = [True, 7, 7.0, 0.5, Decimal("1E+2"), dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3), "x", None]
    assert settled(values).to_pylist() == [
        "true", "7", "7", "0.5", "100", "2024-01-02", "2024-01-02 03:00:00", "x", None
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=8), st.data())
def test_batches_do_not_matter(values: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, parts = settled(values), settled(values[:cut], values[cut:])
    assert whole.type == parts.type
    assert json.dumps(whole.to_pylist(), default=str) == json.dumps(parts.to_pylist(), default=str)
    if whole.type == pa.string():
        assert whole.to_pylist() == [None if value is None else cell_text(value) for value in values]


def test_column_that_a_batch_lacks_is_missing_there() -> None:
    batches = [columns_of([{"a": 1}, {"a": 2, "b": "x"}]), columns_of([{"b": "y"}])]
    with settled_stream(batches, {}) as stream:
        table = pa.Table.from_batches(stream.batches, stream.schema)
    assert table.to_pydict() == {"a": [1, 2, None], "b": [None, "x", "y"]}


def test_nested_object_gives_columns_and_an_array_is_its_text() -> None:
    assert flat({"a": {"b": 1, "c": {"d": None}}, "e": [1, "é"]}) == {"a.b": 1, "a.c.d": None, "e": '[1, "é"]'}
