"""The contract judged on columns says of every row what `/predict` says of it."""

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

from skline.batch.judge import Judge
from skline.batch.read import ENCODED
from skline.scoring.texts import Texts
from skline.settings_source import Source
from tests.skline.contract.test_requests import EVERY_ROW, EVERYTHING, EXAMPLE

JUDGE = Judge(EVERYTHING)
ARROW = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
}
#: Values as a table can hold them; what a table cannot hold, such as text among numbers, is read as at ingest.
HELD: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-12, 12) | st.sampled_from([2**53, 2**53 + 1, -(2**53), 2**63 - 1]),
    "number": st.floats(allow_nan=False) | st.sampled_from([0.5, 1.0, 0.0, -0.0, 5e-324, 1.7e308]),
    "boolean": st.booleans(),
    "string": st.sampled_from(["a", "b", "ü", "A1", "Z9", "A1\n", "", "abc", "abcd", "A²"]) | st.text(max_size=4),
    "date": st.dates() | st.sampled_from([dt.date(1999, 12, 31), dt.date(2000, 1, 1), dt.date(2030, 1, 1)]),
    "datetime": st.datetimes(),
}
READ = {"date": dt.date.fromisoformat, "datetime": dt.datetime.fromisoformat}
VALID = {
    c.name: READ[c.kind](str(EXAMPLE[c.name])) if c.kind in READ and EXAMPLE[c.name] else EXAMPLE[c.name]
    for c in EVERYTHING.inputs
}

NULLS = list(Source(uri="").missing)


def rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Valid rows in which some cells are any value or missing."""
    changes = st.fixed_dictionaries({}, optional={c.name: st.none() | HELD[c.kind] for c in EVERYTHING.inputs})
    return st.lists(changes.map(lambda changed: VALID | changed), min_size=1, max_size=6)


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in row.items()}


def said_by_predict(row: dict[str, Any]) -> set[str]:
    """Columns that /predict names as wrong."""
    try:
        EVERY_ROW.read_one(json.dumps(as_json(row)))
    except ValidationError as error:
        return {str(fault["loc"][0]) for fault in error.errors()}
    return set()


def columns_named(reasons: list[str]) -> set[str]:
    return {c.name for c in EVERYTHING.inputs if any(reason.startswith(f"{c.name}: ") for reason in reasons)}


@settings(max_examples=150)
@given(rows(), st.booleans())
@example([VALID | {"day": None}, VALID, VALID | {"ratio": float("inf"), "shape": "A1\n"}], True)
def test_columns_are_judged_as_predict_judges_rows(table: list[dict[str, Any]], encoded: bool) -> None:
    def array(name: str, kind: str) -> pa.Array:
        cells = pa.array([row[name] for row in table], ARROW[kind])
        return cells.dictionary_encode() if encoded and kind == "string" else cells

    batch = pa.RecordBatch.from_pydict({c.name: array(c.name, c.kind) for c in EVERYTHING.inputs})
    judged = JUDGE.judge(batch)
    expected = {i: said for i, row in enumerate(table) if (said := said_by_predict(row))}
    assert {i: columns_named(reasons) for i, reasons in judged.rejected.items()} == expected
    assert judged.accepted.tolist() == [i for i in range(len(table)) if i not in expected]
    for column in EVERYTHING.inputs:
        values = judged.columns[column.name]
        assert len(values) == len(judged.accepted)
        kept = [table[i][column.name] for i in judged.accepted]
        if isinstance(values, Texts):
            assert list(values) == kept
        else:
            assert values.dtype == np.dtype(column.storage)
            missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values.astype(float))
            found = [None if m else v for m, v in zip(missing.tolist(), values.tolist(), strict=True)]
            assert found == [dt.datetime(v.year, v.month, v.day) if column.kind == "date" else v for v in kept]


@settings(max_examples=100)
@given(rows())
def test_the_same_rows_written_as_csv_are_judged_the_same(table: list[dict[str, Any]]) -> None:
    texts = [row for row in table for value in row.values() if isinstance(value, str) and not _plain(value)]
    if texts:
        return  # an empty cell and "NA" are a missing value in a CSV, as at ingest
    arrays = {c.name: pa.array([row[c.name] for row in table], ARROW[c.kind]) for c in EVERYTHING.inputs}
    buffer = io.BytesIO()
    csv.write_csv(pa.table(arrays), buffer)
    buffer.seek(0)
    types = {c.name: ENCODED if c.kind == "string" else pa.string() for c in EVERYTHING.inputs}
    convert = csv.ConvertOptions(column_types=types, null_values=NULLS, strings_can_be_null=True)
    [batch] = csv.read_csv(
        buffer, convert_options=convert, parse_options=csv.ParseOptions(newlines_in_values=True)
    ).combine_chunks().to_batches()  # fmt: skip
    expected = {i: said for i, row in enumerate(table) if (said := said_by_predict(row))}
    assert {i: columns_named(reasons) for i, reasons in JUDGE.judge(batch).rejected.items()} == expected


def _plain(text: str) -> bool:
    return text not in NULLS and "\r" not in text and "\x00" not in text


def test_a_cell_of_another_kind_is_told_with_all_other_faults_of_its_row() -> None:
    names = [c.name for c in EVERYTHING.inputs]
    row = as_json(VALID) | {"count": "1.5", "few": "10", "day": "2020-02-30", "choice": "c"}
    batch = pa.RecordBatch.from_pydict({n: pa.array([None if row[n] is None else str(row[n])]) for n in names})
    [reasons] = JUDGE.judge(batch).rejected.values()
    assert reasons == [
        "count: is no whole number within ±2^53",
        "few: Input should be less than 10",
        "choice: Input should be 'a', 'b' or 'ü'",
        "day: is no date written YYYY-MM-DD",
    ]


@pytest.mark.parametrize("moment", [pa.scalar(3_000_000, pa.date32()), pa.scalar(-1_000_000, pa.date32())])
def test_a_day_beyond_the_calendar_is_rejected(moment: pa.Scalar) -> None:
    cells = {c.name: pa.array([VALID[c.name]], ARROW[c.kind]) for c in EVERYTHING.inputs} | {"day": pa.array([moment])}
    assert list(JUDGE.judge(pa.RecordBatch.from_pydict(cells)).rejected) == [0]
