"""Rows of plain values → the DataFrame that the pipeline was fitted on.

Training reads these dtypes from Parquet, serving builds them here: a pipeline must not be able to tell
which of the two it is fed by.
"""

from collections.abc import Iterable, Mapping, Sequence
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
    # Arrays, one block each: a Series a column, and gathering them into blocks, take four times as long.
    return pd.DataFrame(
        {c.name: to_storage([row[c.name] for row in rows], c.storage) for c in columns}, copy=False
    )


def to_storage(values: Sequence[Value], storage: str) -> Any:
    """Turn plain values of one column into an array of dtype `storage`; None becomes NaN or NaT."""
    if storage == "str":
        cells: Any = values
        return pd.array(cells, dtype=TEXT)
    return np.array(values, dtype=storage)
