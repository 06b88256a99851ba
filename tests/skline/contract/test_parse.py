"""Cells are read as what they are, or reported; never bent."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.parse import parse, parse_column


@pytest.mark.parametrize(
    ("kind", "cells", "values", "bad"),
    [
        ("integer", ["1", " 2", "3.0", "1.5", "x", None], [1, 2, 3, None, None, None], [3, 4]),
        ("integer", [1.0, 2.5, math.nan], [1, None, None], [1]),
        ("integer", [True], [None], [0]),
        ("integer", ["9007199254740992", "9007199254740993", "1e3"], [2**53, None, None], [1, 2]),
        ("integer", [2**62, None], [None, None], [0]),
        ("integer", [Decimal("2"), Decimal("1.5")], [2, None], [1]),
        ("number", ["1e5", " 2.5 ", "1,5", None], [1e5, 2.5, None, None], [2]),
        ("boolean", ["True", "no", "False", "2", None, "1"], [1, 0, 0, None, None, 1], [3]),
        ("boolean", [0.0, 1.0, 2.0], [0, 1, None], [2]),
        ("string", [1, 2], [None, None], [0, 1]),
        ("date", ["2013-01-01", "2013-02-30", "2013-01-01T05:00"], [dt.datetime(2013, 1, 1), None, None], [1, 2]),
        ("date", [dt.datetime(2013, 1, 1, 5)], [None], [0]),
        ("datetime", ["2013-01-01T10:00:00+02:00", "2013-01-01 10:00", "x"],
         [dt.datetime(2013, 1, 1, 8), dt.datetime(2013, 1, 1, 10), None], [2]),
    ],
)  # fmt: skip
def test_a_column_is_read_as_its_kind(kind: Any, cells: list[Any], values: list[Any], bad: list[int]) -> None:
    found, wrong = parse_column(pa.array(cells), kind)
    assert [None if pd.isna(v) else v for v in found.tolist()] == values
    assert wrong.nonzero()[0].tolist() == bad


@given(st.lists(st.integers(-(2**53), 2**53) | st.none(), min_size=1))
def test_integers_written_as_text_come_back_as_they_were(numbers: list[int | None]) -> None:
    found, bad = parse_column(pa.array([None if n is None else str(n) for n in numbers]), "integer")
    assert not bad.any()
    assert [None if math.isnan(v) else v for v in found.tolist()] == [
        None if n is None else (float(n) if None in numbers else n) for n in numbers
    ]


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_numbers_written_as_text_come_back_to_the_last_bit(numbers: list[float]) -> None:
    found, bad = parse_column(pa.array([repr(n) for n in numbers]), "number")
    assert not bad.any()
    assert [repr(v) for v in found.tolist()] == [repr(n) for n in numbers]


def test_failures_name_row_column_value_and_rule() -> None:
    parsed = parse(pa.table({"a": ["1", "one"], "b": ["x", "y"]}), {"a": "integer", "b": "string", "c": "number"})
    assert parsed.failures.to_dict("records") == [
        {"row": 1, "column": "a", "value": "one", "rule": "is no whole number within ±2^53"}
    ]
    assert list(parsed.frame.columns) == ["a", "b"]
