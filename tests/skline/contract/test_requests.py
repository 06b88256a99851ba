"""What `Inputs` accepts, the request type accepts; what it refuses, the request type refuses."""

import datetime as dt
import json
import math
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from skline.contract.derive import derive
from skline.contract.parse import parse_column
from skline.contract.requests import Rows
from skline.contract.spec import Column, Contract
from skline.contract.table import Table, column
from tests.world.contract import Inputs as Flights


class Everything(Table):
    """A column of each kind, with and without rules, names that are no identifiers included."""

    count: int = column("any integer", example=1)
    few: int = column("bounded", example=3, ge=0, lt=10, nullable=True)
    code: int = column("closed", example=1, isin=[1, 2, 5])
    ratio: float = column("any number", example=0.5)
    part: float = column("bounded", example=0.5, gt=0, le=1, nullable=True)
    step: float = column("closed numbers", example=0.5, isin=[0.5, 1.0])
    yes: bool = column("a boolean", example=True)
    maybe: bool = column("a boolean or nothing", nullable=True)
    text: str = column("any text", example="x")
    short: str = column("bounded text", example="ab", min_length=1, max_length=3, nullable=True)
    shape: str = column("patterned", example="A1", pattern=r"[A-Z]\d")
    choice: str = column("closed text", example="a", isin=["a", "b", "ü"])
    day: dt.date = column("a date", example="2020-02-29", ge=dt.date(2000, 1, 1), lt=dt.date(2030, 1, 1))
    moment: dt.datetime = column("a moment", example="2020-02-29T10:00:00", nullable=True)
    odd: float = column("odd name", example=1.0, alias="class, of 100 %")


class LabelledEverything(Everything):
    """With a target."""

    y: bool = column("target", role="target")


EVERYTHING = derive(Everything, LabelledEverything, {})
EXAMPLE = {c.name: c.example for c in EVERYTHING.inputs}
VALUES = {
    "integer": st.integers(-12, 12) | st.sampled_from([2**53, 2**53 + 1, -(2**53), 2**63, 10**30]),
    "number": st.floats() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, -0.0, 5e-324, 1.7e308]),
    "boolean": st.booleans(),
    "string": st.sampled_from(["a", "b", "ü", "A1", "Z9", "A1\n", "", "abc", "abcd"]) | st.text(max_size=4),
    "date": st.dates().map(dt.date.isoformat)
    | st.sampled_from(["1999-12-31", "2000-01-01", "2029-12-31", "2030-01-01"]),
    "datetime": st.datetimes().map(dt.datetime.isoformat),
}
ANYTHING = st.none() | st.one_of(*VALUES.values())


EVERY_ROW = Rows(EVERYTHING)


def row_is_accepted(contract: Contract, row: dict[str, Any]) -> bool:
    """What the request type says to the row as JSON."""
    rows = EVERY_ROW if contract is EVERYTHING else Rows(contract)
    try:
        rows.read_one(json.dumps(row))
    except ValidationError:
        return False
    return True


def table_is_accepted(table: type[Table], contract: Contract, row: dict[str, Any]) -> bool:
    """What pandera says to the same row as a table of one row."""
    frame = pd.DataFrame({c.name: cell(c, row[c.name]) for c in contract.inputs})
    try:
        table.validate(frame, lazy=True)
    except pa.errors.SchemaErrors:
        return False
    return True


def cell(c: Column, value: Any) -> pd.Series:
    """One value as a column: in its storage dtype if it is of the column's kind, else as pandas has it."""
    if value is None or (isinstance(value, float) and math.isnan(value) and c.kind == "number" and c.nullable):
        missing = {"str": None, "datetime64[us]": pd.NaT}.get(c.storage, float("nan"))
        dtype = c.storage if c.storage not in ("int64", "bool") else "float64"
        return pd.Series([missing], dtype=dtype)
    fits = {
        "integer": isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63,
        "number": isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e309,
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "date": isinstance(value, str),
        "datetime": isinstance(value, str),
    }
    if not fits[c.kind]:
        return pd.Series([value], dtype=object)
    if c.kind in ("date", "datetime"):
        read, bad = parse_column(pyarrow.array([value]), c.kind)
        return pd.Series(["unreadable"]) if bad[0] else read
    return pd.Series([value], dtype=c.storage)


@pytest.mark.parametrize("name", [c.name for c in EVERYTHING.inputs])
@settings(max_examples=60)
@given(data=st.data())
def test_a_value_is_accepted_by_both_or_by_neither(name: str, data: st.DataObject) -> None:
    kind = EVERYTHING[name].kind
    value = data.draw(VALUES[kind] | ANYTHING)
    if isinstance(value, float) and math.isnan(value):
        return  # JSON has no NaN; see test_nan_and_infinity_are_no_json_numbers
    if kind == "datetime" and isinstance(value, str) and len(value) == 10:
        return  # a date alone is no datetime in a request; a table has only one type for both
    row = EXAMPLE | {name: value}
    assert row_is_accepted(EVERYTHING, row) == table_is_accepted(Everything, EVERYTHING, row)


@settings(max_examples=100)
@given(
    st.fixed_dictionaries(
        {
            "flight_date": st.dates(dt.date(2012, 1, 1), dt.date(2014, 1, 1)).map(dt.date.isoformat),
            "carrier": st.from_regex(r"[A-Z0-9]{2}", fullmatch=True) | st.text(max_size=3),
            "origin": st.sampled_from(["EWR", "JFK", "LGA", "BOS"]),
            "dest": st.from_regex(r"[A-Z]{3}", fullmatch=True) | st.text(max_size=4),
            "distance": st.integers(-1, 13_000) | st.none(),
            "sched_dep_time": st.integers(-1, 2401),
            "sched_arr_time": st.integers(-1, 2401) | st.none(),
        }
    )
)
def test_flights_are_accepted_by_both_or_by_neither(row: dict[str, Any]) -> None:
    from tests import demo

    assert row_is_accepted(demo.contract(), row) == table_is_accepted(Flights, demo.contract(), row)


def test_examples_are_accepted() -> None:
    assert row_is_accepted(EVERYTHING, EXAMPLE)
    assert table_is_accepted(Everything, EVERYTHING, EXAMPLE)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_are_no_json_numbers(text: str) -> None:
    body = json.dumps(EXAMPLE | {"ratio": "HERE"}).replace('"HERE"', text)
    with pytest.raises(ValidationError) as caught:
        EVERY_ROW.read_one(body)
    assert caught.value.errors()[0]["loc"] == ("ratio",)


@pytest.mark.parametrize("name", sorted(EXAMPLE))
def test_every_field_is_required_and_a_missing_one_is_named(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EVERY_ROW.read_one(json.dumps({key: value for key, value in EXAMPLE.items() if key != name}))
    assert [(fault["loc"], fault["type"]) for fault in caught.value.errors()] == [((name,), "missing")]


def test_unknown_fields_are_refused_by_name() -> None:
    with pytest.raises(ValidationError) as caught:
        EVERY_ROW.read_one(json.dumps(EXAMPLE | {"colour": "red"}))
    assert caught.value.errors()[0]["loc"] == ("colour",)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2020-01-01T10:00:00", dt.datetime(2020, 1, 1, 10)),
        ("2020-01-01T10:00:00Z", dt.datetime(2020, 1, 1, 10)),
        ("2020-01-01 12:00:00.5+02:00", dt.datetime(2020, 1, 1, 10, 0, 0, 500_000)),
    ],
)
def test_datetimes_are_utc_and_offsets_are_converted(text: str, meaning: dt.datetime) -> None:
    row = EVERY_ROW.read_one(json.dumps(EXAMPLE | {"moment": text}))
    assert row["moment"] == meaning


def test_the_schema_says_types_bounds_choices_nulls_descriptions_and_examples() -> None:
    properties = EVERY_ROW.one.json_schema()["properties"]
    assert set(properties) == set(EXAMPLE)
    assert properties["part"]["anyOf"] == [
        {"exclusiveMinimum": 0, "maximum": 1, "type": "number"},
        {"type": "null"},
    ]
    assert properties["choice"]["enum"] == ["a", "b", "ü"]
    assert properties["shape"]["pattern"] == r"^(?:[A-Z]\d)$"
    assert properties["day"] | {"formatMinimum": "2000-01-01", "format": "date"} == properties["day"]
    assert all(properties[name]["examples"] == [value] for name, value in EXAMPLE.items() if value is not None)
    assert properties["text"]["description"] == "any text"
