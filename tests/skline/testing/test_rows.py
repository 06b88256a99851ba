"""Tests of the rows that a project's tests get: valid ones keep all rules, invalid ones break the one they name."""

import datetime as dt
import re
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from skline.contract.derive import derive
from skline.contract.request_validation import RowParser
from skline.contract.spec import Column, Contract
from skline.contract.table import Table, column
from skline.stages.validate import validate
from skline.testing import (
    InvalidRow,
    check_accepts,
    check_rejects,
    derive_contract,
    example_row,
    invalid_rows,
    random_rows,
)
from tests.fixtures import demo
from tests.fixtures.sample_project.contract import Labelled as Flight

#: The rule of an invalid row begins like this → the types of error that pydantic may report.
ERROR_TYPES = {
    "a field of the contract": {"extra_forbidden"},
    "required": {"missing"},
    "at least": {"greater_than_equal", "string_too_short"},
    "greater than": {"greater_than"},
    "at most": {"less_than_equal", "string_too_long"},
    "less than": {"less_than"},
    "one of": {"choice", "literal_error"},
    "like the pattern": {"pattern", "string_pattern_mismatch"},
    "a whole number": {"integer_format"},
    "a number": {"number_format"},
    "true or false": {"boolean_format"},
    "text": {"string_format", "literal_error"},
    "a date as": {"date_format"},
    "a datetime": {"datetime_format"},
}


class Everything(Table):
    """A column of each kind, with each rule."""

    count: int = column("any integer", example=1)
    few: int = column("bounded", example=3, ge=0, lt=10, nullable=True)
    written: int = column("bounds written as floats", example=3, gt=1.0, le=4.0)
    code: int = column("closed", example=1, isin=[1, 2, 5])
    ratio: float = column("any number", example=0.5)
    part: float = column("bounded", example=0.5, gt=0, le=1, nullable=True)
    low: float = column("bounded from below", example=0.0, ge=0.0, lt=1e-3)
    step: float = column("closed numbers", example=0.5, isin=[0.5, 1.0])
    yes: bool = column("a boolean", example=True)
    maybe: bool = column("a boolean or nothing", nullable=True)
    text: str = column("any text", example="x")
    short: str = column("bounded text", example="ab", min_length=2, max_length=3, nullable=True)
    shape: str = column("patterned", example="A1", pattern=r"[A-Z]\d")
    free: str = column("a pattern that every text matches", example="A1", pattern=r"(?s:.*)")
    choice: str = column("closed text", example="a", isin=["a", "b", "ü"])
    day: dt.date = column("a date", example="2020-02-29", ge=dt.date(2000, 1, 1), lt=dt.date(2020, 3, 5))
    weekday: dt.date = column("closed dates", example="2024-01-01", isin=[dt.date(2024, 1, 1), dt.date(2024, 1, 8)])
    moment: dt.datetime = column("a moment", example="2020-02-29T10:00:00Z", nullable=True, gt=dt.datetime(2020, 1, 1))
    odd: float = column("odd name", example=1.0, alias="class, of 100 %")


class LabelledEverything(Everything):
    """The inputs, a target, an id, and a time."""

    y: int = column("target", role="target", isin=[3, 4, 5])
    code_of_row: str = column("id", role="id", unique=True)
    at: dt.datetime = column("time", role="time")


EVERYTHING = derive(Everything, LabelledEverything, {})
CONTRACTS = {"everything": (EVERYTHING, LabelledEverything), "flights": (demo.contract(), Flight)}


@pytest.mark.parametrize("name", CONTRACTS)
def test_random_rows_keep_the_contract_of_tables_and_of_requests(name: str) -> None:
    contract, table = CONTRACTS[name]
    rows = random_rows(contract, 300)
    result = validate(rows, demo.no_failures(), table, contract)
    assert result.report["quarantined"] == 0, result.report["broken_rules"]
    assert len(result.accepted) == 300
    assert {column.name: str(rows[column.name].dtype) for column in contract.columns} == {
        column.name: column.storage for column in contract.columns
    }
    check_accepts(contract, rows)


def test_random_rows_vary_are_repeatable_and_have_all_classes_and_missing_values() -> None:
    rows = random_rows(EVERYTHING)
    assert set(rows["y"]) == {3, 4, 5}
    assert 0 < rows["few"].isna().mean() < 0.3
    assert rows["day"].nunique() > 3
    assert rows["ratio"].nunique() > 150
    pd.testing.assert_frame_equal(rows, random_rows(EVERYTHING))
    assert not rows.equals(random_rows(EVERYTHING, seed=1))


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_invalid_row_breaks_the_rule_that_it_names_and_no_other(name: str) -> None:
    contract, _ = CONTRACTS[name]
    parser = RowParser(contract)
    for invalid in invalid_rows(contract):
        with pytest.raises(ValidationError) as caught:
            parser.parse_rows(to_json([invalid.row]))
        [error] = caught.value.errors()
        assert error["loc"][1] == invalid.field
        expected = next((types for rule, types in ERROR_TYPES.items() if invalid.rule.startswith(rule)), None)
        assert invalid.rule == "not null" or (expected is not None and error["type"] in expected), (str(invalid), error)
        check_rejects(contract, invalid)


def test_every_rule_of_every_input_has_an_invalid_row() -> None:
    rules: dict[str, set[str]] = {}
    for invalid in invalid_rows(EVERYTHING):
        rules.setdefault(invalid.field, set()).add(invalid.rule)
    assert rules["few"] == {"required", "a whole number", "at least 0", "less than 10"}
    assert rules["part"] == {"required", "a number", "greater than 0", "at most 1"}
    assert rules["choice"] == {"required", "not null", "text", "one of a, b, ü"}
    assert rules["shape"] == {"required", "not null", "text", r"like the pattern [A-Z]\d"}
    assert rules["short"] == {"required", "text", "at least 2 characters long", "at most 3 characters long"}
    assert rules["unknown_field"] == {"a field of the contract"}
    assert set(rules) == {*EVERYTHING.input_names, "unknown_field"}


def test_invalid_value_is_the_first_one_beyond_the_bound() -> None:
    values = {str(invalid): invalid.row.get(invalid.field) for invalid in invalid_rows(EVERYTHING)}
    assert values["written: greater than 1.0"] == 1
    assert values["written: at most 4.0"] == 5
    assert values["low: at least 0.0"] == -5e-324
    assert values["part: greater than 0"] == 0
    assert values["day: less than 2020-03-05"] == "2020-03-05"
    assert values["day: at least 2000-01-01"] == "1999-12-31"
    assert values["moment: greater than 2020-01-01"] == "2020-01-01T00:00:00"


def test_field_that_is_called_unknown_is_not_the_unknown_one() -> None:
    contract = Contract(
        title="T",
        columns=(
            Column(name="unknown_field", kind="integer", example=1),
            Column(name="y", kind="number", role="target"),
        ),
        task="regression",
    )
    assert invalid_rows(contract)[0].field == "unknown_field_"


def test_example_row_is_accepted_and_an_invalid_one_is_named() -> None:
    example = example_row(EVERYTHING)
    check_accepts(EVERYTHING, [example])
    with pytest.raises(AssertionError, match="rejects a row that must be valid: row 1: count: .*whole number"):
        check_accepts(EVERYTHING, [example, example | {"count": "many"}])


def test_rule_that_the_contract_does_not_have_is_named() -> None:
    example = example_row(EVERYTHING)
    valid = InvalidRow("count", "at most 5", example)
    with pytest.raises(AssertionError, match=re.escape("accepts a row whose count is not at most 5")):
        check_rejects(EVERYTHING, valid)
    other = InvalidRow("count", "at most 5", example | {"ratio": "many"})
    with pytest.raises(AssertionError, match=r"only count must be invalid .*ratio: Input should be a finite number"):
        check_rejects(EVERYTHING, other)


def test_contract_is_derived_from_a_module() -> None:
    module: Any = SimpleNamespace(Inputs=Everything, Labelled=LabelledEverything, LEAKS={"later": "known later"})
    assert derive_contract(cast("ModuleType", module)).leaks == {"later": "known later"}
