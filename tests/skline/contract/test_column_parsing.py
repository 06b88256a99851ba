"""Parsing of cells: unreadable cells are reported, never coerced."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.column_parsing import parse, parse_column
from skline.contract.notation import DURATIONS, as_plain_numbers, check_notation, plain_duration, plain_numbers
from skline.contract.spec import CellFormat
from skline.contract.values import Unreadable, expected, make_reader


@pytest.mark.parametrize(
    ("kind", "cells", "values", "bad"),
    [
        ("integer", ["1", " 2", "3.0", "1.5", "x", None], [1, 2, 3, None, None, None], [3, 4]),
        ("integer", [1.0, 2.5, math.nan], [1, None, None], [1]),
        ("integer", [True], [None], [0]),
        ("integer", ["9007199254740992", "9007199254740993", "1e3", "0x10"], [2**53, None, 1000, None], [1, 3]),
        ("integer", [2.0**53, 2.0**53 - 1], [None, 2**53 - 1], [0]),
        ("integer", [2**62, None], [None, None], [0]),
        ("integer", [Decimal("2"), Decimal("1.5")], [2, None], [1]),
        ("integer", ["\u22125", "5-", "(5)", "5\u2212"], [-5, None, None, None], [1, 2, 3]),
        ("number", ["\u22120.5", "1e\u22123"], [-0.5, 0.001], []),
        ("number", ["1e5", " 2.5 ", "1,5", None], [1e5, 2.5, None, None], [2]),
        ("boolean", ["True", "no", "False", "2", None, "1"], [1, 0, 0, None, None, 1], [3]),
        ("boolean", ["1.0", "0.0"], [1, 0], []),
        ("boolean", [0.0, 1.0, 2.0], [0, 1, None], [2]),
        ("string", [1, 2], [None, None], [0, 1]),
        ("date", ["2013-01-01", "2013-02-30", "2013-01-01T05:00"], [dt.datetime(2013, 1, 1), None, None], [1, 2]),
        ("date", ["2013-07-04T00:00:00.000Z", "2013-07-04 00:00:00", "1972-01-25T00:00:00+02:00"],
         [dt.datetime(2013, 7, 4), dt.datetime(2013, 7, 4), None], [2]),
        ("date", [20130704], [None], [0]),
        ("date", [dt.datetime(2013, 1, 1, 5)], [None], [0]),
        ("datetime", ["2013-01-01T10:00:00+02:00", "2013-01-01 10:00", "x"],
         [dt.datetime(2013, 1, 1, 8), dt.datetime(2013, 1, 1, 10), None], [2]),
        ("datetime", ["2024-05-31T04:41:37.1234567Z", "2024-05-31 04:41:37 UTC", "2024-05-31"],
         [dt.datetime(2024, 5, 31, 4, 41, 37, 123456), dt.datetime(2024, 5, 31, 4, 41, 37),
          dt.datetime(2024, 5, 31)], []),
        ("datetime", ["2016/03/15 00:00:00+00", "2016/03/15", "15/03/2016", "2016/03-15"],
         [dt.datetime(2016, 3, 15), dt.datetime(2016, 3, 15), None, None], [2, 3]),
        ("datetime", ["2020-12-31 21:25:58+02", "2020-12-31 21:25:58 -0700", "2020-12-31T21:25:58.000+0000"],
         [dt.datetime(2020, 12, 31, 19, 25, 58), dt.datetime(2021, 1, 1, 4, 25, 58),
          dt.datetime(2020, 12, 31, 21, 25, 58)], []),
    ],
)  # fmt: skip
def test_parses_column_as_its_kind_and_marks_bad_cells(
    kind: Any, cells: list[Any], values: list[Any], bad: list[int]
) -> None:
    parsed, is_bad = parse_column(pa.array(cells), kind)
    assert [None if pd.isna(v) else v for v in parsed.tolist()] == values
    assert is_bad.nonzero()[0].tolist() == bad


@given(st.lists(st.integers(-(2**53), 2**53) | st.none(), min_size=1))
def test_integers_round_trip_through_text(numbers: list[int | None]) -> None:
    parsed, is_bad = parse_column(pa.array([None if n is None else str(n) for n in numbers]), "integer")
    assert not is_bad.any()
    assert [None if math.isnan(v) else v for v in parsed.tolist()] == [
        None if n is None else (float(n) if None in numbers else n) for n in numbers
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_round_trip_through_text_exactly(numbers: list[float]) -> None:
    parsed, is_bad = parse_column(pa.array([repr(n) for n in numbers]), "number")
    assert not is_bad.any()
    assert [repr(v) for v in parsed.tolist()] == [repr(n) for n in numbers]


@pytest.mark.parametrize(
    ("kind", "notation", "cells", "values"),
    [
        ("integer", "HH:MM:SS", ["00:01:40", "100:00:00", "-01:00:00", "00:61:00", "1:2:3", None],
         [100, 360_000, -3600, None, None, None]),
        ("number", "HH:MM:SS", ["00:00:01.25", "1:02:03", "9999999999:00:00"], [1.25, 3723, None]),
        ("integer", "HH:MM", ["08:30", "8:30", "25:00", "8:3"], [30_600, 30_600, 90_000, None]),
        ("integer", "1234 CC", ["1248 CC", "998CC", " 796 CC ", "12 kmpl", "7"], [1248, 998, 796, None, 7]),
        ("number", "1234.5kg", ["1.37kg", "2 kg", "kg"], [1.37, 2, None]),
        ("integer", "1,234+", ["10,000+", "5+", "0"], [10_000, 5, 0]),
    ],
)  # fmt: skip
def test_reads_durations_as_seconds_and_numbers_without_their_unit(
    kind: Any, notation: str, cells: list[str | None], values: list[Any]
) -> None:
    check_notation(notation, kind)
    parsed, is_bad = parse_column(pa.array(cells), kind, notation)
    assert [None if pd.isna(v) else v for v in parsed.tolist()] == values
    assert is_bad.tolist() == [cell is not None and value is None for cell, value in zip(cells, values, strict=True)]


@pytest.mark.parametrize(
    ("kind", "notation", "cells", "values"),
    [
        ("number", "1234,5", ["1234,5", "1234.5", "12.5", "0.455", "1e3", "1.234e1", "1234.567"],
         [1234.5, 1234.5, 12.5, 0.455, 1000, 12.34, 1234.567]),
        ("number", "1234,5", ["1.234", "-12.345", "1.234.567", "1.234,5"], [None, None, None, None]),
        ("number", "1.234,5", ["1.234", "1234.5", "1.5", "0.455"], [1234, 1234.5, 1.5, 0.455]),
        ("integer", "1234,5", ["12.0", "12,0", "12.000", "12.5"], [12, 12, None, None]),
        ("number", "1,234.5", ["1,234", "1.234", "1e3"], [1234, 1.234, 1000]),
        ("number", "HH:MM", ["8", "8.5", "8:30"], [None, None, 30_600]),
    ],
)  # fmt: skip
def test_a_plain_number_is_read_beside_a_notation_if_it_has_no_other_meaning(
    kind: Any, notation: str, cells: list[str], values: list[Any]
) -> None:
    parsed, _ = parse_column(pa.array(cells), kind, notation)
    assert [None if pd.isna(v) else v for v in parsed.tolist()] == values
    for cell, value in zip(cells, values, strict=True):
        reader = make_reader(CellFormat(kind, notation))
        if value is None:
            with pytest.raises(Unreadable):
                reader(cell)
        else:
            assert reader(cell) == value


@pytest.mark.parametrize(
    ("kind", "notation", "message"),
    [
        ("number", "1234,5", "a finite number, plain or as text like '1234,5'; write '1.234' as '1,234', because"),
        ("number", "1.234,5", "a finite number, plain or as text like '1.234,5'; the text '1.234' means 1234"),
        ("integer", "1234,5", "a whole number within ±2^53, plain or as text like '1234,0'"),
        ("integer", "$1,234", "a whole number within ±2^53, plain or as text like '$1,234'"),
        ("number", "$1,234.5", "a finite number, plain or as text like '$1,234.5'"),
        ("number", "HH:MM", "a finite number, or text in the form HH:MM"),
        ("boolean", "ja/nein", "true or false (as text also yes/no, y/n, t/f, 1/0), or text in the form ja/nein"),
        ("date", "%d.%m.%Y", "a date written as YYYY-MM-DD, or in the format %d.%m.%Y, such as 31.01.2026"),
    ],
)  # fmt: skip
def test_message_says_how_a_value_of_a_notation_may_be_written(kind: Any, notation: str, message: str) -> None:
    assert expected(CellFormat(kind, notation)).removesuffix(" as text it could mean 1234") == message


def test_numbers_of_a_notation_are_rewritten_so_that_every_notation_reads_them_alike() -> None:
    cells = pa.array(["1,234", "-12,345", "1.234,5", "0,123", "1234,567", "x", None])
    plain = as_plain_numbers(cells, "1.234,5")
    assert plain.to_pylist() == ["1.2340", "-12.3450", "1234.5", "0.123", "1234.567", "x", None]
    for notation in (None, "1.234,5", "1234,5", "1,234.5"):
        values, _ = parse_column(plain.slice(0, 5), "number", notation)
        assert values.tolist() == [1.234, -12.345, 1234.5, 0.123, 1234.567]


@given(
    st.from_regex(r"-?[0-9]{1,3}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,3})?)?", fullmatch=True),
    st.sampled_from(list(DURATIONS)),
)
def test_a_duration_means_the_same_alone_and_in_a_column(text: str, notation: str) -> None:
    assert plain_numbers(pa.array([text]), notation).to_pylist() == [plain_duration(text, notation)]


FORMATS = {"a": CellFormat("integer"), "b": CellFormat("string"), "c": CellFormat("number")}


def test_failures_name_row_column_value_and_rule() -> None:
    parsed = parse(pa.table({"a": ["1", "one"], "b": ["x", "y"]}), FORMATS)
    assert parsed.failures.to_dict("records") == [
        {"row": 1, "column": "a", "value": "one", "rule": "is not a whole number within ±2^53"}
    ]
    assert list(parsed.frame.columns) == ["a", "b"]
