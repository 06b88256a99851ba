"""The request type accepts exactly the rows that `Inputs` accepts."""

import datetime as dt
import json
from functools import cache
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from skline.contract.column_parsing import parse
from skline.contract.derive import derive
from skline.contract.notation import check_notation
from skline.contract.request_validation import RowParser
from skline.contract.spec import Column, Contract
from skline.contract.table import Table, column
from skline.errors import SklineError
from tests.fixtures.sample_project.contract import Inputs as Flights


class Everything(Table):
    """A column of each kind, with and without rules, and one whose name is not an identifier."""

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
    """The inputs and a target."""

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


EVERYTHING_PARSER = RowParser(EVERYTHING)
#: Pandera's schema of each column alone: the time of a validation grows with the number of columns.
COLUMN_SCHEMAS = {c.name: Everything.to_schema().select_columns([c.name]) for c in EVERYTHING.inputs}


def row_is_accepted(parser: RowParser, row: dict[str, Any]) -> bool:
    """Return whether the request type accepts the row as JSON."""
    try:
        parser.parse_row(json.dumps(row))
    except ValidationError:
        return False
    return True


def table_is_accepted(schema: pa.DataFrameSchema, contract: Contract, row: dict[str, Any]) -> bool:
    """Return whether pandera accepts the row, which has the schema's columns, as a table of one row."""
    frame = pd.DataFrame({name: cell(contract, contract[name], row[name]) for name in schema.columns})
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors:
        return False
    return True


def cell(contract: Contract, c: Column, value: Any) -> pd.Series:
    """Return the value as a series, in the column's storage dtype if it can be read as a cell of the column."""
    is_large = isinstance(value, int) and abs(value) >= 2**63
    if is_large and c.kind != "number":
        return pd.Series([value], dtype=object)
    table = pyarrow.table({c.name: pyarrow.array([float(value) if is_large else value])})
    parsed = parse(table, {c.name: contract.cell_format(c)})
    series = parsed.frame[c.name]
    if len(parsed.failures):
        return pd.Series([value], dtype=object)
    return series if series.isna().any() else series.astype(c.storage)


@pytest.mark.parametrize("name", [c.name for c in EVERYTHING.inputs])
@settings(max_examples=60)
@given(data=st.data())
def test_request_type_and_pandera_agree_on_every_value(name: str, data: st.DataObject) -> None:
    kind = EVERYTHING[name].kind
    value = data.draw(VALUES[kind] | ANYTHING)
    accepted = table_is_accepted(COLUMN_SCHEMAS[name], EVERYTHING, {name: value})
    assert row_is_accepted(EVERYTHING_PARSER, EXAMPLE | {name: value}) == accepted


@cache
def flights() -> tuple[Contract, RowParser]:
    """The contract of the demo, and its parser."""
    from tests.fixtures import demo

    return demo.contract(), RowParser(demo.contract())


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
def test_request_type_and_pandera_agree_on_flights(row: dict[str, Any]) -> None:
    contract, parser = flights()
    assert row_is_accepted(parser, row) == table_is_accepted(Flights.to_schema(), contract, row)


def test_accepts_examples() -> None:
    assert row_is_accepted(EVERYTHING_PARSER, EXAMPLE)
    assert table_is_accepted(Everything.to_schema(), EVERYTHING, EXAMPLE)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_rejects_nan_and_infinity(text: str) -> None:
    body = json.dumps(EXAMPLE | {"ratio": "HERE"}).replace('"HERE"', text)
    with pytest.raises(ValidationError) as caught:
        EVERYTHING_PARSER.parse_row(body)
    assert caught.value.errors()[0]["loc"] == ("ratio",)


@pytest.mark.parametrize("name", sorted(EXAMPLE))
def test_rejects_missing_field_and_names_it(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EVERYTHING_PARSER.parse_row(json.dumps({key: value for key, value in EXAMPLE.items() if key != name}))
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((name,), "missing")]


def test_rejects_unknown_field_and_names_it() -> None:
    with pytest.raises(ValidationError) as caught:
        EVERYTHING_PARSER.parse_row(json.dumps(EXAMPLE | {"colour": "red"}))
    assert caught.value.errors()[0]["loc"] == ("colour",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-01T10:00:00", dt.datetime(2020, 1, 1, 10)),
        ("2020-01-01T10:00:00Z", dt.datetime(2020, 1, 1, 10)),
        ("2020-01-01 12:00:00.5+02:00", dt.datetime(2020, 1, 1, 10, 0, 0, 500_000)),
    ],
)
def test_reads_datetimes_as_utc_and_converts_offsets(text: str, expected: dt.datetime) -> None:
    row = EVERYTHING_PARSER.parse_row(json.dumps(EXAMPLE | {"moment": text}))
    assert row["moment"] == expected


def test_schema_has_types_bounds_choices_nulls_descriptions_and_examples() -> None:
    properties = EVERYTHING_PARSER.row.json_schema()["properties"]
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


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("count", 1400.0, 1400),
        ("count", "1400", 1400),
        ("few", "NA", None),
        ("ratio", "0.5", 0.5),
        ("maybe", "Yes", True),
        ("maybe", 0.0, False),
        ("text", "None such", "None such"),
        ("short", "NA", None),
        ("day", "2020-02-29T00:00:00.000Z", dt.date(2020, 2, 29)),
        ("moment", "2020-02-29T10:00:00.1234567+0000", dt.datetime(2020, 2, 29, 10, 0, 0, 123_456)),
    ],
)
def test_reads_every_spelling_that_keeps_the_value(name: str, sent: Any, expected: Any) -> None:
    row = EVERYTHING_PARSER.parse_row(json.dumps(EXAMPLE | {name: sent}))
    assert (type(row[name]), row[name]) == (type(expected), expected)
    assert EVERYTHING_PARSER.parse_rows(json.dumps([EXAMPLE, EXAMPLE | {name: sent}]))[1] == row


@pytest.mark.parametrize(
    ("name", "sent", "message"),
    [
        ("count", 1400.5, "Input should be a whole number within ±2^53"),
        ("count", 2.0**53, "Input should be a whole number within ±2^53"),
        ("count", "0x10", "Input should be a whole number within ±2^53"),
        ("text", "NA", "Input should not be missing"),
        ("day", "2020-02-29T00:00:00+02:00", "Input should be a date written as YYYY-MM-DD"),
        ("moment", 1717130497000, "Input should be a datetime in ISO 8601, such as 2026-01-31T14:05:00Z"),
    ],
)
def test_rejects_what_would_change_the_value_and_names_the_rule(name: str, sent: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EVERYTHING_PARSER.parse_row(json.dumps(EXAMPLE | {name: sent}))
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [((name,), message)]


def test_description_names_the_notation() -> None:
    amount = Column(name="amount", kind="number", description="Amount", notation="1.234,5")
    target = Column(name="y", kind="number", role="target")
    parser = RowParser(Contract(title="T", task="regression", columns=(amount, target)))
    description = parser.row.json_schema()["properties"]["amount"]["description"]
    assert description == "Amount; also as text, written as 1.234,5"
    assert parser.parse_row('{"amount": "1.234"}') == {"amount": 1234.0}
    assert parser.parse_row('{"amount": 1.234}') == {"amount": 1.234}


@pytest.mark.parametrize("notation", ["0.125", "0.125 kg", "1,234.567,8", "1,5.0", "1 234'5"])
def test_notation_of_a_number_is_a_number_in_that_notation(notation: str) -> None:
    with pytest.raises(SklineError, match="is not a number written so; use one such as"):
        check_notation(notation, "number")


@pytest.mark.parametrize("notation", ["ja", "ja/nein/", "ja/nein/ja", "ja/JA", "/nein"])
def test_notation_of_a_boolean_is_two_different_words(notation: str) -> None:
    with pytest.raises(SklineError, match="must be the words for true and false"):
        check_notation(notation, "boolean")


def test_no_notation_may_read_iso_dates_otherwise() -> None:
    with pytest.raises(SklineError, match="2001-02-03"):
        check_notation("%Y-%d-%m", "date")
    check_notation("%Y-%m-%d %H:%M:%S", "datetime")
