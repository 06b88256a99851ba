"""Arithmetic of two columns, for FunctionTransformer and for plans; it needs NumPy only."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def ratio(X: Any) -> FloatArray:
    """Divide the first of two columns by the second.

    For a FunctionTransformer; X is numeric of shape (n_samples, 2). Returns shape (n_samples, 1), NaN where a value is
    missing or the second one is 0.
    """
    first, second = _two_columns(X, "ratio")
    return divide(first, second)[:, np.newaxis]


def difference(X: Any) -> FloatArray:
    """Subtract the second of two columns from the first.

    For a FunctionTransformer; X is numeric of shape (n_samples, 2). Returns shape (n_samples, 1), NaN where a value is
    missing.
    """
    first, second = _two_columns(X, "difference")
    result: FloatArray = np.subtract(first, second)[:, np.newaxis]
    return result


def divide(first: FloatArray, second: FloatArray) -> FloatArray:
    """Divide arrays of shape (n,); NaN where `second` is 0."""
    with np.errstate(all="ignore"):
        return np.where(second == 0, np.nan, first / second)


def _two_columns(X: Any, name: str) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"{name} takes two columns, and gets an array of shape {values.shape}")
    return values[:, 0], values[:, 1]
