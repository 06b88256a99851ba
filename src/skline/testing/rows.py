"""Rows of a contract: its examples, random valid rows, and rows that break one rule each."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError
from pydantic_core import to_json

from skline.contract.frames import to_storage
from skline.contract.request_validation import RowParser
from skline.contract.spec import LARGEST_INTEGER, Column, Contract
from skline.errors import SklineError
from skline.input_rows import InputRows, describe
from skline.testing.bounds import BOUNDS, first_invalid, limits, present, to_value

#: Share of the cells of a nullable column that are missing.
MISSING = 0.1
#: Days after its earliest date over which a column's random dates are spread.
DAYS = 300
START = {"date": dt.date(2024, 1, 1), "datetime": dt.datetime(2024, 1, 1)}  # noqa: DTZ001 - naive UTC, as in a row
#: Values of another type, as JSON, and what the column takes instead.
OTHER_TYPE: dict[str, tuple[Any, str]] = {
    "integer": (1.5, "a whole number"),
    "number": ("many", "a number"),
    "boolean": ("perhaps", "true or false"),
    "string": (1, "text"),
    "date": ("yesterday", "a date as YYYY-MM-DD"),
    "datetime": ("yesterday", "a datetime in ISO 8601"),
}
#: Candidates for a text that does not match a pattern.
OTHER_TEXT = ("?", "a", "0", "A", "", "a ?", "\n")


@dataclass(frozen=True)
class InvalidRow:
    """A JSON row that breaks one rule of the contract.

    Attributes
    ----------
    field : str
        The field that breaks it.
    rule : str
        The rule, in words: "at least 0", "one of EWR, JFK, LGA", "required".
    row : dict
        The example row of the contract, with this field changed.
    """

    field: str
    rule: str
    row: dict[str, Any]

    def __str__(self) -> str:
        """Return the field and the rule, for the name of a test."""
        return f"{self.field}: {self.rule}"


def example_row(contract: Contract) -> dict[str, Any]:
    """Return the examples of the inputs as a JSON row; a nullable input without an example is null."""
    return {column.name: column.example for column in contract.for_requests().inputs}


def random_rows(contract: Contract, n_rows: int = 200, seed: int = 17) -> pd.DataFrame:
    """Return random rows that keep the contract, with the target and the other columns of a labelled row.

    Values are near the column's example and within its bounds. A tenth of the cells of nullable columns is missing. A
    column with a pattern holds its example in every row. All classes occur.
    """
    random = np.random.default_rng(seed)
    columns = {}
    for column in contract.columns:
        if column.role == "target" and contract.classes is not None:
            values: list[Any] = [contract.classes[index % len(contract.classes)] for index in range(n_rows)]
        else:
            values = _random_values(column, n_rows, random)
        if column.nullable:
            is_missing = random.random(n_rows) < MISSING
            values = [None if missing else value for missing, value in zip(is_missing, values, strict=True)]
        columns[column.name] = to_storage(values, column.storage)
    return pd.DataFrame(columns)


def invalid_rows(contract: Contract) -> list[InvalidRow]:
    """Return rows that the contract must reject, each with the rule that it breaks: every rule of every input once.

    The rules are: a known field, required, not null, the type, bounds, choices, lengths and patterns. A pattern that
    every text in OTHER_TEXT matches has no row.
    """
    example = example_row(contract)
    unknown = "unknown_field"
    while unknown in example:
        unknown += "_"
    rows = [InvalidRow(unknown, "a field of the contract", {**example, unknown: 1})]
    for column in contract.for_requests().inputs:
        without = {name: value for name, value in example.items() if name != column.name}
        rows.append(InvalidRow(column.name, "required", without))
        for value, rule in _invalid_values(column):
            rows.append(InvalidRow(column.name, rule, {**example, column.name: value}))
    return rows


def check_accepts(contract: Contract, rows: pd.DataFrame | Sequence[Mapping[str, Any]]) -> None:
    """Assert that the contract accepts every row, given as a DataFrame or as JSON."""
    try:
        InputRows(contract.for_requests()).read(rows)
    except SklineError as error:
        raise AssertionError(f"the contract rejects a row that must be valid: {error}") from None


def check_rejects(contract: Contract, invalid: InvalidRow) -> None:
    """Assert that the contract rejects a row because of its invalid field, and for no other reason."""
    try:
        RowParser(contract.for_requests()).parse_rows(to_json([invalid.row]))
    except ValidationError as error:
        fields = {str(detail["loc"][1]) for detail in error.errors() if len(detail["loc"]) > 1}
        if fields != {invalid.field}:
            raise AssertionError(
                f"only {invalid.field} must be invalid ({invalid.rule}), but the contract says: {describe(error)}"
            ) from None
    else:
        raise AssertionError(f"the contract accepts a row whose {invalid.field} is not {invalid.rule}: {invalid.row}")


def _random_values(column: Column, n_rows: int, random: np.random.Generator) -> list[Any]:
    """Return valid values of a column."""
    if column.choices is not None:
        choices = [to_value(column, choice) for choice in column.choices]
        return [choices[index] for index in random.integers(0, len(choices), n_rows)]
    if column.kind == "boolean":
        return [bool(value) for value in random.integers(0, 2, n_rows)]
    if column.kind == "string":
        return _random_texts(column, n_rows)
    if column.kind in ("date", "datetime"):
        return _random_dates(column, n_rows, random)
    return _random_numbers(column, n_rows, random)


def _random_texts(column: Column, n_rows: int) -> list[Any]:
    text = str(column.example or "text")
    if column.pattern is not None:
        return [text] * n_rows
    numbers = [index if column.unique else index % 7 for index in range(n_rows)]
    return [f"{text} {number}"[-(column.max_length or 0) :] for number in numbers]


def _random_dates(column: Column, n_rows: int, random: np.random.Generator) -> list[Any]:
    low, high = limits(column)
    start = START[column.kind] if column.example is None else to_value(column, column.example)
    start = max(start, low) if low is not None else start
    dates = [start + dt.timedelta(days=int(days)) for days in random.integers(0, DAYS, n_rows)]
    return dates if high is None else [min(date, high) for date in dates]


def _random_numbers(column: Column, n_rows: int, random: np.random.Generator) -> list[Any]:
    low, high = (limit if limit is not None else default * LARGEST_INTEGER
                 for limit, default in zip(limits(column), (-1, 1), strict=True))  # fmt: skip
    middle = min(max(float(column.example or 1), low), high)
    spread = abs(middle) + 1
    if column.kind == "integer":
        if column.unique:
            return [low + index if low > -LARGEST_INTEGER else index for index in range(n_rows)]
        lowest, highest = max(low, int(middle - spread)), min(high, int(middle + spread))
        return [int(value) for value in random.integers(lowest, highest, n_rows, endpoint=True)]
    values = random.uniform(max(low, middle - spread), min(high, middle + spread), n_rows)
    return [min(max(float(value), low), high) for value in values]


def _invalid_values(column: Column) -> Iterator[tuple[Any, str]]:
    """Yield values that break one rule of a column, as JSON, and the rules."""
    if not column.nullable:
        yield None, "not null"
    other, rule = OTHER_TYPE[column.kind]
    yield other, rule
    for bound in present(column):
        value = first_invalid(column, bound)
        yield (
            value.isoformat() if isinstance(value, dt.date) else value,
            (f"{BOUNDS[bound][1]} {getattr(column, bound)}"),
        )
    if column.choices is not None and column.kind != "boolean":
        yield _not_chosen(column), f"one of {', '.join(map(str, column.choices))}"
    # A nullable column takes a text of blanks as missing.
    if column.min_length and not (column.nullable and column.min_length == 1):
        yield "x" * (column.min_length - 1), f"at least {column.min_length} characters long"
    if column.max_length is not None:
        yield "x" * (column.max_length + 1), f"at most {column.max_length} characters long"
    if column.pattern is not None:
        texts = [text for text in OTHER_TEXT if not re.fullmatch(column.pattern, text)]
        texts = [text for text in texts if text.strip() or not column.nullable]
        if texts:
            yield texts[0], f"like the pattern {column.pattern}"


def _not_chosen(column: Column) -> Any:
    """Return a value of the column's type that is none of its choices."""
    choices = [to_value(column, choice) for choice in column.choices or ()]
    if column.kind == "string":
        return "".join(map(str, choices)) + "?"
    if column.kind in ("date", "datetime"):
        return (max(choices) + dt.timedelta(days=1)).isoformat()
    return max(choices) + 1
