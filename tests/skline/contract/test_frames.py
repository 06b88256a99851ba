"""Conversion of rows to frames with the dtypes of training, and of frames to rows."""

import datetime as dt
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.frames import to_frame, to_json_rows, to_rows
from skline.contract.spec import Column
from tests.fixtures import demo

COLUMNS = [
    Column(name=f"{kind} {nullable}", kind=kind, nullable=nullable)  # type: ignore[arg-type]
    for kind in ("integer", "number", "boolean", "string", "date", "datetime")
    for nullable in (False, True)
]
VALUES: dict[str, Any] = {
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "string": st.text(),
    "date": st.dates(),
    "datetime": st.datetimes(),
}
ROWS = st.lists(
    st.fixed_dictionaries({c.name: VALUES[c.kind] | st.none() if c.nullable else VALUES[c.kind] for c in COLUMNS}),
    max_size=5,
)


@given(ROWS)
def test_rows_round_trip_through_a_frame(rows: list[dict[str, Any]]) -> None:
    frame = to_frame(COLUMNS, rows)
    assert frame.dtypes.map(str).to_dict() == {c.name: c.storage for c in COLUMNS}
    assert to_rows(COLUMNS, frame) == rows


def test_frame_of_a_request_has_the_dtypes_of_training() -> None:
    live = demo.parts()["live"][demo.contract().input_names].head(20)
    restored = to_frame(demo.contract().inputs, to_rows(demo.contract().inputs, live))
    pd.testing.assert_frame_equal(restored, live)


def test_json_rows_write_dates_as_text() -> None:
    columns = [Column(name="d", kind="date"), Column(name="t", kind="datetime")]
    frame = to_frame(columns, [{"d": dt.date(2020, 2, 29), "t": dt.datetime(2020, 2, 29, 10, 30)}])
    assert to_json_rows(columns, frame) == [{"d": "2020-02-29", "t": "2020-02-29T10:30:00"}]
