"""Convert rows of plain values to the DataFrame that a pipeline is fitted on, and back.

Training reads these dtypes from Parquet and serving builds them here; a pipeline sees no difference.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Value

#: The dtype that pandas calls "str".
TEXT: Any = pd.StringDtype(na_value=np.nan)


def to_frame(columns: Iterable[Column], rows: Sequence[Mapping[str, Value]]) -> pd.DataFrame:
    """Build a DataFrame with each column's storage dtype.

    Parameters
    ----------
    columns : iterable of Column
        The columns to take, in order.
    rows : sequence of mappings from column name to value
        Validated values: bool, int, float, str, date, naive UTC datetime, or None where missing.

    Returns
    -------
    DataFrame of shape (len(rows), number of columns), with a RangeIndex.
    """
    # One array per column: building a Series per column and consolidating the blocks takes four times as long.
    return pd.DataFrame({c.name: to_storage([row[c.name] for row in rows], c.storage) for c in columns}, copy=False)


def to_storage(values: Sequence[Value], storage: str) -> Any:
    """Convert plain values of one column to an array of dtype `storage`; None becomes NaN or NaT."""
    if storage == "str":
        cells: Any = values
        return pd.array(cells, dtype=TEXT)
    return np.array(values, dtype=storage)


def to_rows(columns: Iterable[Column], frame: pd.DataFrame) -> list[dict[str, Value]]:
    """Convert a DataFrame to rows of plain values: the inverse of `to_frame`."""
    plain = {column.name: _plain(frame[column.name], column) for column in columns}
    return [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]


def to_json_rows(columns: Iterable[Column], frame: pd.DataFrame) -> list[dict[str, bool | int | float | str | None]]:
    """Convert a DataFrame to rows as a JSON client sends them, dates as ISO 8601 text."""
    rows = to_rows(columns, frame)
    return [
        {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in row.items()}
        for row in rows
    ]


def _plain(values: pd.Series, column: Column) -> list[Value]:
    """Convert one column to plain values, None where missing."""
    cells: list[Value] = values.astype(object).where(values.notna(), None).tolist()
    convert = PLAIN.get(column.kind)
    return cells if convert is None else [None if cell is None else convert(cell) for cell in cells]


PLAIN: dict[str, Callable[[Any], Value]] = {
    "integer": int,
    "boolean": bool,
    "date": lambda stamp: stamp.date(),
    "datetime": lambda stamp: stamp.to_pydatetime(),
}
