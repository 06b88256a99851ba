"""Rows of plain values → the DataFrame that the pipeline was fitted on.

Training reads these dtypes from Parquet, serving builds them here: a pipeline must not be able to tell
which of the two it is fed by.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Value


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
    return pd.DataFrame({c.name: to_storage([row[c.name] for row in rows], c.storage) for c in columns})


def to_storage(values: Sequence[Value], storage: str) -> pd.Series:
    """Turn plain values of one column into a Series of dtype `storage`; None becomes NaN or NaT."""
    match storage:
        case "float64":
            return pd.Series(np.array([np.nan if v is None else v for v in values], dtype=np.float64))
        case "datetime64[us]":
            return pd.Series(np.array(values, dtype="datetime64[us]"))
        case _:
            return pd.Series(values, dtype=storage)  # type: ignore[call-overload,no-any-return]
