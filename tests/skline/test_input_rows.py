"""Tests of rows given in Python: a cell of a DataFrame means what it means in `/predict`, or it is invalid."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.input_rows import InputRows

CONTRACT = Contract(
    title="Everything",
    columns=(
        Column(name="count", kind="integer", nullable=True),
        Column(name="ratio", kind="number", nullable=True),
        Column(name="flag", kind="boolean", nullable=True),
        Column(name="text", kind="string", nullable=True),
        Column(name="day", kind="date", nullable=True),
        Column(name="moment", kind="datetime", nullable=True),
        Column(name="y", kind="number", role="target"),
    ),
    task="regression",
)
READER = InputRows(CONTRACT)
MISSING = dict.fromkeys(CONTRACT.input_names)


def read(name: str, cell: Any, dtype: Any = object) -> Any:
    """Read a table of one row in which one cell is not missing."""
    frame = pd.DataFrame({column: pd.Series([None], dtype=object) for column in CONTRACT.input_names})
    frame[name] = pd.Series([cell], dtype=dtype)
    [row] = READER.read(frame)
    return row[name]


@pytest.mark.parametrize(
    ("name", "cell", "dtype", "value"),
    [
        ("count", 3.0, "float64", 3),
        ("count", 3, "int8", 3),
        ("count", 3, "Int64", 3),
        ("count", pd.NA, "Int64", None),
        ("count", "3", "str", 3),
        ("flag", "yes", "str", True),
        ("text", "NA", "str", None),
        ("ratio", np.float32(0.1), "float32", float(np.float32(0.1))),
        ("ratio", 2, "int64", 2.0),
        ("ratio", np.nan, "float64", None),
        ("flag", 1.0, "float64", True),
        ("flag", 0, "int64", False),
        ("flag", True, "boolean", True),
        ("text", "a", "category", "a"),
        ("text", None, "str", None),
        ("day", "2024-02-29", "str", dt.date(2024, 2, 29)),
        ("day", dt.date(2024, 2, 29), object, dt.date(2024, 2, 29)),
        ("day", "2024-02-29", "datetime64[us]", dt.date(2024, 2, 29)),
        ("moment", "2024-02-29T10:00", "datetime64[ns]", dt.datetime(2024, 2, 29, 10)),
        (
            "moment",
            pd.Timestamp("2024-02-29T10:00+02:00"),
            "datetime64[us, Europe/Berlin]",
            dt.datetime(2024, 2, 29, 8),
        ),
        ("moment", pd.NaT, "datetime64[us]", None),
        ("count", Decimal("3.0"), object, 3),
        ("ratio", Decimal("0.1"), object, 0.1),
        ("day", np.datetime64("2024-02-29", "ns"), object, dt.date(2024, 2, 29)),
        ("moment", "2024-02-29T10:00:00.000001999", "datetime64[ns]", dt.datetime(2024, 2, 29, 10, 0, 0, 1)),
        ("moment", pd.Timestamp("1890-01-01", tz="Europe/Berlin"), object, dt.datetime(1889, 12, 31, 23, 6, 32)),
    ],
)
def test_cell_of_a_table_is_read(name: str, cell: Any, dtype: Any, value: Any) -> None:
    actual = read(name, cell, dtype)
    assert actual == value
    assert type(actual) is type(value)


@pytest.mark.parametrize(
    ("name", "cell", "message"),
    [
        ("count", 1.5, "count: Input should be a whole number within ±2^53 (got 1.5)"),
        ("count", "three", "count: Input should be a whole number within ±2^53 (got 'three')"),
        ("count", 2.0**53, "count: Input should be a whole number within ±2^53 (got 9007199254740992.0)"),
        ("count", True, "count: Input should be a whole number within ±2^53 (got True)"),
        ("count", Decimal("9007199254740993"), "count: Input should be a whole number within ±2^53"),
        ("text", Decimal("1.5"), "text: Input should be text (got Decimal('1.5'))"),
        ("text", pd.Timestamp("2024-02-29"), "text: Input should be text"),
        ("day", pd.Timestamp("2024-02-29T00:00:00.000000001"), "day: Input should be a date written as YYYY-MM-DD"),
        ("ratio", np.inf, "ratio: Input should be a finite number (got inf)"),
        ("flag", 2, "flag: Input should be true or false"),
        ("flag", "perhaps", "flag: Input should be true or false"),
        ("text", 5, "text: Input should be text (got 5)"),
        ("text", "x" * 100, None),
        ("day", pd.Timestamp("2024-02-29T10:00"), "day: Input should be a date written as YYYY-MM-DD"),
        ("moment", "soon", "moment: Input should be a datetime in ISO 8601"),
    ],
)
def test_cell_that_breaks_the_contract_is_named(name: str, cell: Any, message: str | None) -> None:
    if message is None:
        assert read(name, cell) == cell
        return
    with pytest.raises(SklineError) as error:
        read(name, cell)
    assert str(error.value).startswith(f"row 0: {message}")


def test_rows_of_a_table_have_the_values_that_the_pipeline_was_fitted_on() -> None:
    rows = [
        {"count": 1, "ratio": -0.0, "flag": True, "text": "a", "day": dt.date(2024, 1, 1), "moment": None},
        {**MISSING, "moment": dt.datetime(2024, 1, 1, 12, 0, 0, 7)},
    ]
    assert READER.read(to_frame(CONTRACT.inputs, rows)) == rows


def test_numpy_scalars_are_values_of_a_json_row() -> None:
    [row] = READER.read([{**MISSING, "count": np.int64(3), "flag": np.True_, "ratio": np.float32(0.5)}])
    assert row == {**MISSING, "count": 3, "flag": True, "ratio": 0.5}


def test_value_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(SklineError, match=r"the rows have a value that JSON cannot hold: .*object"):
        READER.read([{**MISSING, "count": object()}])


@pytest.mark.parametrize("value", [np.timedelta64(3, "ns"), b"3", dt.timedelta(3)])
def test_value_that_json_cannot_hold_is_no_number_and_no_text(value: Any) -> None:
    for name in ("count", "text"):
        with pytest.raises(SklineError, match=rf"JSON cannot hold: .* is a {type(value).__name__}$"):
            READER.read([{**MISSING, name: value}])


def test_decimal_is_a_number_and_no_text_in_the_notation_of_the_column() -> None:
    columns = (Column(name="x", kind="number", notation="1.234,5"), Column(name="y", kind="number", role="target"))
    reader = InputRows(Contract(title="T", task="regression", columns=columns))
    assert reader.read([{"x": Decimal("1.234")}, {"x": "1.234"}]) == [{"x": 1.234}, {"x": 1234.0}]


def test_unknown_field_of_a_json_row_breaks_the_contract_and_a_column_of_a_table_is_ignored() -> None:
    with pytest.raises(SklineError, match=r"^row 0: other: Extra inputs are not permitted \(got 1\)$"):
        READER.read([{**MISSING, "other": 1}])
    assert READER.read(pd.DataFrame([MISSING]).assign(other=1)) == [MISSING]


def test_missing_field_is_named_without_the_row() -> None:
    with pytest.raises(SklineError, match="^row 0: day: Field required; pass None if it is unknown$"):
        READER.read([{name: None for name in MISSING if name != "day"}])


def test_all_unknown_names_are_shown_with_the_columns_that_they_mean() -> None:
    names = ["Größe (cm)", "PLZ", "Umsatz €", "class", "a-b", "c d", "E.F", "Tage"]
    attributes = ["groesse_cm", "plz", "umsatz", "class_", "a_b", "c_d", "e_f", "days"]
    columns = tuple(Column(name=name, kind="number") for name in names)
    target = Column(name="y", kind="number", role="target")
    reader = InputRows(Contract(title="T", task="regression", columns=(*columns, target)))
    with pytest.raises(SklineError) as error:
        reader.read(dict.fromkeys(attributes, 1.0))
    messages = str(error.value).split("; row 0: ")
    for name, attribute in zip(names[:-1], attributes[:-1], strict=True):
        assert any(f"{attribute}: Extra inputs are not permitted; did you mean {name!r}?" in each for each in messages)
    assert "row 0: days: Extra inputs are not permitted (got 1.0)" in str(error.value)
    assert messages[-1] == "Tage: Field required"
    assert len(messages) == len(names) + 1


def test_unknown_name_of_many_rows_is_shown_once() -> None:
    with pytest.raises(SklineError, match=r"^row 0: other: Extra inputs are not permitted \(got 1\); and 7 more$"):
        READER.read([{**MISSING, "other": 1}] * 8)


def test_missing_column_is_named_with_a_similar_one() -> None:
    with pytest.raises(SklineError, match="the table lacks the columns 'moment' \\(it has 'moments'\\)"):
        READER.read(pd.DataFrame([MISSING]).rename(columns={"moment": "moments"}))


def test_column_that_is_there_twice_is_an_error() -> None:
    table = pd.DataFrame([MISSING])
    with pytest.raises(SklineError, match="several columns called 'day'"):
        READER.read(pd.concat([table, table[["day"]]], axis=1))


def test_blanks_around_the_names_of_a_table_are_ignored_as_in_a_file() -> None:
    reader = InputRows(CONTRACT.model_copy(update={"trim": True}))
    row = {**MISSING, "count": 3}
    table = pd.DataFrame([row]).rename(columns={"count": "\ufeff count\xa0", "day": "day\n"})
    assert reader.read(table) == reader.read(pa.Table.from_pandas(table)) == [row]
    assert reader.read(table.iloc[0]) == [row]
    for twice in (table.assign(count=4), pa.Table.from_pandas(table.assign(count=4))):
        with pytest.raises(SklineError, match=r"several columns called 'count' \(without blanks around the names\)"):
            reader.read(twice)
    with pytest.raises(SklineError, match="lacks the columns 'count' \\(it has '.* count.*'\\)"):
        READER.read(table)


def test_many_broken_rules_are_counted() -> None:
    with pytest.raises(SklineError, match=r"row 0: .*; row 4: .*; and 3 more \(rows are counted from 0\)$"):
        READER.read([{**MISSING, "count": "x" * 100}] * 8)


def test_mapping_is_one_row() -> None:
    assert READER.read({**MISSING, "count": 3}) == READER.read([{**MISSING, "count": 3}])
    with pytest.raises(SklineError, match="^row 0: count: Input should be a whole number"):
        READER.read({**MISSING, "count": [1, 2]})


def test_series_is_one_row_of_a_table() -> None:
    row = {**MISSING, "count": 3, "flag": True, "day": dt.date(2024, 1, 1)}
    assert READER.read(pd.Series({**row, "other": 1})) == [row]
    assert READER.read(pd.DataFrame([row]).iloc[0]) == [row]


def test_cells_of_an_arrow_table_are_read_as_those_of_a_table() -> None:
    columns = {
        "count": pa.array([3, None], pa.int8()),
        "ratio": pa.array([Decimal("0.1"), None], pa.decimal128(5, 2)),
        "flag": pa.array(["yes", None]),
        "text": pa.array(["a", None]).dictionary_encode(),
        "day": pa.array([dt.date(2024, 2, 29), None]),
        "moment": pa.array([dt.datetime(2024, 2, 29, 10), None], pa.timestamp("ns", "Europe/Berlin")),
        "other": pa.array([b"ignored", None]),
    }
    first = dict(zip(MISSING, (3, 0.1, True, "a", dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 10)), strict=True))
    table = pa.table(columns)
    assert READER.read(table) == READER.read(table.to_batches()[0]) == [first, MISSING]
    with pytest.raises(SklineError, match="the table lacks the columns 'day'; rename or add them"):
        READER.read(table.drop_columns(["day"]))
    with pytest.raises(SklineError, match="^row 0: count: Input should be a whole number"):
        READER.read(pa.table(columns | {"count": ["three", None]}))


def test_something_else_than_a_row_is_an_error() -> None:
    with pytest.raises(SklineError, match="^row 0: Input should be an object"):
        READER.read([5])  # type: ignore[list-item]
    with pytest.raises(SklineError, match="^an array has no names of columns; pass a DataFrame"):
        READER.read(np.zeros((2, 6)))  # type: ignore[arg-type]
