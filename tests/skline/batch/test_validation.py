"""Validation by columns rejects the same rows as `/predict`, with the same messages."""

import datetime as dt
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import csv
from pydantic import ValidationError

from skline.batch.validation import BatchValidator
from skline.scoring.string_column import StringColumn
from skline.settings.source import Source
from skline.sources.tables import ENCODED_STRING
from tests.skline.contract.test_request_validation import EVERYTHING, EVERYTHING_PARSER, EXAMPLE

VALIDATOR = BatchValidator(EVERYTHING)
ARROW = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
}
#: Values that a table can hold; values that it cannot hold, such as strings among numbers, are read as at ingest.
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-12, 12) | st.sampled_from([2**53, 2**53 + 1, -(2**53), 2**63 - 1]),
    "number": st.floats(allow_nan=False) | st.sampled_from([0.5, 1.0, 0.0, -0.0, 5e-324, 1.7e308]),
    "boolean": st.booleans(),
    "string": st.sampled_from(["a", "b", "ü", "A1", "Z9", "A1\n", "", "abc", "abcd", "A²"]) | st.text(max_size=4),
    "date": st.dates() | st.sampled_from([dt.date(1999, 12, 31), dt.date(2000, 1, 1), dt.date(2030, 1, 1)]),
    "datetime": st.datetimes(),
}
FROM_JSON = {"date": dt.date.fromisoformat, "datetime": dt.datetime.fromisoformat}
VALID = {
    c.name: FROM_JSON[c.kind](str(EXAMPLE[c.name])) if c.kind in FROM_JSON and EXAMPLE[c.name] else EXAMPLE[c.name]
    for c in EVERYTHING.inputs
}

NULLS = list(Source(uri="").missing)


def rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Generate valid rows in which some cells are replaced by any value or are missing."""
    changes = st.fixed_dictionaries({}, optional={c.name: st.none() | CELLS[c.kind] for c in EVERYTHING.inputs})
    return st.lists(changes.map(lambda changed: VALID | changed), min_size=1, max_size=6)


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in row.items()}


def columns_rejected_by_predict(row: dict[str, Any]) -> set[str]:
    """Return the columns for which /predict returns an error."""
    try:
        EVERYTHING_PARSER.parse_row(json.dumps(as_json(row)))
    except ValidationError as error:
        return {str(fault["loc"][0]) for fault in error.errors()}
    return set()


def columns_in(reasons: list[str]) -> set[str]:
    return {c.name for c in EVERYTHING.inputs if any(reason.startswith(f"{c.name}: ") for reason in reasons)}


@settings(max_examples=150)
@given(rows(), st.booleans())
@example([VALID | {"short": ""}, VALID | {"short": "NA"}], True)
@example([VALID | {"day": None}, VALID, VALID | {"ratio": float("inf"), "shape": "A1\n"}], True)
def test_batch_rejects_the_columns_that_predict_rejects(table: list[dict[str, Any]], encoded: bool) -> None:
    def array(name: str, kind: str) -> pa.Array:
        cells = pa.array([row[name] for row in table], ARROW[kind])
        return cells.dictionary_encode() if encoded and kind == "string" else cells

    batch = pa.RecordBatch.from_pydict({c.name: array(c.name, c.kind) for c in EVERYTHING.inputs})
    validated = VALIDATOR.validate(batch)
    expected = {i: columns for i, row in enumerate(table) if (columns := columns_rejected_by_predict(row))}
    assert {i: columns_in(reasons) for i, reasons in validated.rejected.items()} == expected
    assert validated.accepted.tolist() == [i for i in range(len(table)) if i not in expected]
    for column in EVERYTHING.inputs:
        values = validated.columns[column.name]
        assert len(values) == len(validated.accepted)
        kept = [table[i][column.name] for i in validated.accepted]
        if isinstance(values, StringColumn):
            assert list(values) == [None if text in NULLS else text for text in kept]
        else:
            assert values.dtype == np.dtype(column.storage)
            missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values.astype(float))
            actual = [None if m else v for m, v in zip(missing.tolist(), values.tolist(), strict=True)]
            assert actual == [dt.datetime(v.year, v.month, v.day) if column.kind == "date" else v for v in kept]


@settings(max_examples=100)
@given(rows())
def test_csv_of_the_same_rows_is_validated_alike(table: list[dict[str, Any]]) -> None:
    altered_strings = [
        row for row in table for value in row.values() if isinstance(value, str) and not _survives_csv(value)
    ]
    if altered_strings:
        return  # in a CSV an empty cell and "NA" are missing values, as at ingest
    arrays = {c.name: pa.array([row[c.name] for row in table], ARROW[c.kind]) for c in EVERYTHING.inputs}
    buffer = io.BytesIO()
    csv.write_csv(pa.table(arrays), buffer)
    buffer.seek(0)
    types = {c.name: ENCODED_STRING if c.kind == "string" else pa.string() for c in EVERYTHING.inputs}
    convert = csv.ConvertOptions(column_types=types, null_values=NULLS, strings_can_be_null=True)
    [batch] = csv.read_csv(
        buffer, convert_options=convert, parse_options=csv.ParseOptions(newlines_in_values=True)
    ).combine_chunks().to_batches()  # fmt: skip
    expected = {i: columns for i, row in enumerate(table) if (columns := columns_rejected_by_predict(row))}
    assert {i: columns_in(reasons) for i, reasons in VALIDATOR.validate(batch).rejected.items()} == expected


def _survives_csv(text: str) -> bool:
    return text not in NULLS and "\r" not in text and "\x00" not in text


def test_unreadable_cell_is_reported_with_all_other_errors_of_its_row() -> None:
    names = [c.name for c in EVERYTHING.inputs]
    row = as_json(VALID) | {"count": "1.5", "few": "10", "day": "2020-02-30", "choice": "c"}
    batch = pa.RecordBatch.from_pydict({n: pa.array([None if row[n] is None else str(row[n])]) for n in names})
    [reasons] = VALIDATOR.validate(batch).rejected.values()
    assert reasons == [
        "count: Input should be a whole number within ±2^53",
        "few: Input should be less than 10",
        "choice: Input should be 'a', 'b' or 'ü'",
        "day: Input should be a date written as YYYY-MM-DD",
    ]


@pytest.mark.parametrize("moment", [pa.scalar(3_000_000, pa.date32()), pa.scalar(-1_000_000, pa.date32())])
def test_date_beyond_the_calendar_is_rejected(moment: pa.Scalar) -> None:
    cells = {c.name: pa.array([VALID[c.name]], ARROW[c.kind]) for c in EVERYTHING.inputs} | {"day": pa.array([moment])}
    assert list(VALIDATOR.validate(pa.RecordBatch.from_pydict(cells)).rejected) == [0]
