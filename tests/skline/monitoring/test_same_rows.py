"""Rows of the training table, read back from the log, are neither unseen nor out of range, whatever their kind."""

import datetime as dt
import json
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.artifact.data_profile import profile
from skline.contract.frames import to_frame, to_json_rows
from skline.contract.spec import Column, Contract
from skline.monitoring.json_columns import JsonColumns
from skline.monitoring.quality import column_quality, known_categories
from skline.monitoring.reference import stored_column
from skline.monitoring.rows import JSON_TYPES, logged_column

DAYS = st.dates(dt.date(1950, 1, 1), dt.date(2100, 1, 1))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
    "date": DAYS,
    "datetime": st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2100, 1, 1)),
}


def contract_of(kind: str, *, nullable: bool) -> Contract:
    """Return a contract with one input, and a target that does not matter."""
    columns = (
        Column.model_validate({"name": "x", "kind": kind, "nullable": nullable}),
        Column(name="y", kind="boolean", role="target"),
    )
    return Contract(title="", columns=columns, task="binary", classes=(False, True))


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=40)
@given(data=st.data())
def test_rows_of_the_training_table_give_no_finding(kind: str, nullable: bool, data: st.DataObject) -> None:
    contract = contract_of(kind, nullable=nullable)
    cell = st.one_of(st.none(), VALUES[kind]) if nullable else VALUES[kind]
    frame = to_frame(contract.inputs, [{"x": value} for value in data.draw(st.lists(cell, min_size=1, max_size=8))])
    table = pa.Table.from_pandas(frame)
    described = profile(table, contract)["columns"]["x"]
    logged = logged_values(to_json_rows(contract.inputs, frame), contract.inputs[0])
    found = column_quality("x", kind, logged, described, known=known_categories(described, kind))
    assert (found.unseen.value or 0, found.outside.value or 0) == (0, 0)
    assert found.missing.value == pytest.approx(found.reference_missing, abs=1e-6)
    reference = stored_column(table["x"], contract.inputs[0])
    assert reference.dtype == logged.dtype
    assert (
        np.array_equal(reference, logged, equal_nan=True) if logged.dtype != object else list(reference) == list(logged)
    )


@pytest.mark.parametrize("names", [("True", "False"), ("1.0", "0.0")])
def test_profiles_of_earlier_versions_name_the_values_of_a_boolean_in_two_ways(names: tuple[str, str]) -> None:
    assert known_categories({"categories": dict.fromkeys(names, 1), "other": 0}, "boolean") == {"true", "false"}


def logged_values(rows: list[dict[str, Any]], column: Column) -> Any:
    """Return an input as the monitor reads it from the JSON in the log."""
    texts = pa.table({"inputs": [json.dumps(row, ensure_ascii=False) for row in rows]})
    inputs = JsonColumns("inputs", {column.name: JSON_TYPES.get(column.kind, "VARCHAR")})
    database = connection()
    database.register("log", texts)
    read = database.sql(f"SELECT {inputs.expressions[0]} FROM log").to_arrow_table()  # noqa: S608
    return logged_column(inputs.arrays(read)[column.name], column)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    """Return a database in memory, the same for all examples: to open one takes longer than an example."""
    return duckdb.connect()
