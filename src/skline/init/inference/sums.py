"""Find three to six columns that add up to the target, such as the sales by region of the sales of the world.

Two columns are searched by `skline.init.inference.pairs`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
MIN_TERMS, MAX_TERMS = 3, 6
#: The greedy search may take in columns that it needs no longer once it has the others.
MAX_STEPS = 12
#: Explained variance from which on the terms count as adding up to the target.
MIN_R2 = 0.995
#: Largest relative difference between the absolute values of the coefficients.
COEFFICIENT_TOLERANCE = 0.05
#: Rows per column that least squares needs to explain nothing by chance.
ROWS_PER_COLUMN = 3


class Sum(NamedTuple):
    """Columns with their signs, and the value of the sum in each row, of shape (n_rows,)."""

    columns: tuple[str, ...]
    formula: str
    values: Array


def find_sum(columns: Mapping[str, Array], truth: Array) -> Sum | None:
    """Return the columns whose sum or difference explains nearly all of the target, by a greedy search.

    In each step the column joins that is most correlated with what the others leave unexplained (orthogonal matching
    pursuit; Pati, Rezaiifar and Krishnaprasad, 1993). Then each column leaves that is not needed. The rest is a sum if
    its coefficients have the same size.

    Parameters
    ----------
    columns : mapping from name to array of shape (n_rows,)
        A missing value counts as zero: a sum has no other term there.
    truth : array of shape (n_rows,)
    """
    names = [name for name, values in columns.items() if np.isfinite(values).any() and np.nanstd(values) > 0]
    if len(names) < MIN_TERMS or len(truth) < ROWS_PER_COLUMN * MAX_STEPS or np.ptp(truth) == 0:
        return None
    X = np.nan_to_num(np.column_stack([columns[name] for name in names]), nan=0.0)
    terms = _pruned(X, truth, _pursued(X, truth))
    if not MIN_TERMS <= len(terms) <= MAX_TERMS:
        return None
    slopes = _fit(X[:, terms], truth)[1]
    size = np.abs(slopes)
    if size.min() == 0 or size.max() / size.min() - 1 > COEFFICIENT_TOLERANCE:
        return None
    signs = np.sign(slopes) * np.sign(slopes[0])
    parts = [f"{'-' if sign < 0 else '+'} {names[term]!r}" for term, sign in zip(terms, signs, strict=True)]
    formula = " ".join(parts).removeprefix("+ ")
    return Sum(tuple(names[term] for term in terms), formula, X[:, terms] @ signs)


def _fit(X: Array, y: Array) -> tuple[float, Array]:
    """Return the explained variance of least squares, and the slopes of shape (n_columns,)."""
    centred, target = X - X.mean(axis=0), y - y.mean()
    slopes: Array = np.linalg.lstsq(centred, target, rcond=None)[0]
    rest = target - centred @ slopes
    return float(1 - rest @ rest / (target @ target)), slopes


def _pursued(X: Array, y: Array) -> list[int]:
    """Return the columns of the greedy search, which ends when they explain the target; empty if they never do."""
    centred = X - X.mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=0))
    target = y - y.mean()
    rest, terms = target, list[int]()
    while len(terms) < min(MAX_STEPS, X.shape[1]):
        correlations = np.abs(scaled.T @ rest)
        correlations[terms] = -1
        terms.append(int(correlations.argmax()))
        explained, slopes = _fit(X[:, terms], y)
        if explained >= MIN_R2:
            return terms
        rest = target - centred[:, terms] @ slopes
    return []


def _pruned(X: Array, y: Array, terms: list[int]) -> list[int]:
    """Return the terms without those that the others do not need, in the order of the columns."""
    for term in list(terms):
        others = [other for other in terms if other != term]
        if others and _fit(X[:, others], y)[0] >= MIN_R2:
            terms = others
    return sorted(terms)
