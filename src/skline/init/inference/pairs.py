"""Search for two columns whose sum, difference, product or ratio may determine the target.

The search only screens: the caller scores every pair on held-out rows.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: A column with a larger share of missing values is not searched.
MAX_MISSING_SHARE = 0.3
#: Smallest R² of the plane through the rows.
SCREENING_R2 = 0.98
#: Largest relative difference between the absolute values of the two coefficients.
COEFFICIENT_TOLERANCE = 0.03
#: With fewer rows no pairs are searched for classes: among few rows, some pair always separates them.
MIN_CLASS_ROWS = 300
SCREENING_ROWS = 400
#: Distance of the means of two classes, in standard deviations, below which no threshold separates them.
MIN_CLASS_DISTANCE = 1.3
MAX_RANKED_PAIRS = 20_000
MAX_CANDIDATES = 50


class ColumnPair(NamedTuple):
    """Two columns, their formula, and its `values` in the `rows` of the sample in which both are present."""

    first: str
    second: str
    formula: str
    rows: npt.NDArray[Any]
    values: Array


def number_pairs(columns: Mapping[str, Array], truth: Array) -> Iterator[ColumnPair]:
    """Yield pairs that may determine a number: a ± b by a plane through the rows, a·b and a/b by one of logarithms."""
    yield from _planes(columns, truth, log=False)
    positive = {name: values for name, values in columns.items() if (values[np.isfinite(values)] > 0).mean() > 0.9}
    if (truth > 0).mean() > 0.9:
        yield from _planes(positive, truth, log=True)


def _planes(columns: Mapping[str, Array], truth: Array, *, log: bool) -> Iterator[ColumnPair]:
    """Yield pairs with coefficients of equal size whose plane explains nearly all variance, the best first."""
    names = [name for name, values in columns.items() if np.isnan(values).mean() <= MAX_MISSING_SHARE]
    if len(names) < 2 or np.ptp(truth) == 0:
        return
    X, y = np.column_stack([columns[name] for name in names]), truth
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            X, y = np.where(X > 0, np.log(X), np.nan), np.where(truth > 0, np.log(truth), np.nan)
    kept = np.isfinite(y)
    for plane in _screened_planes(X[kept], y[kept]):
        first, second = names[plane.first], names[plane.second]
        is_opposite = np.sign(plane.slope) != np.sign(plane.other_slope)
        if log and is_opposite and plane.slope < 0:
            first, second = second, first
        a, b = columns[first], columns[second]
        with np.errstate(divide="ignore", invalid="ignore"):
            if log:
                values, sign = (a / b, "/") if is_opposite else (a * b, "·")
            else:
                values, sign = (a - b, "-") if is_opposite else (a + b, "+")
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > 0.5 * len(truth):
            yield ColumnPair(first, second, f"{first!r} {sign} {second!r}", rows, values[rows])


class _Plane(NamedTuple):
    """The least-squares plane over two columns, by position; slopes are up to a factor that both share."""

    first: int
    second: int
    slope: float
    other_slope: float


def _screened_planes(X: Array, y: Array) -> list[_Plane]:
    """Return the planes with slopes of equal size that explain nearly all variance of y, the best first.

    Both come in closed form from the correlations of all columns; a missing value counts as the column's mean.
    """
    centred = np.where(np.isfinite(X), X - np.nanmean(X, axis=0), 0.0)
    spread = np.sqrt((centred**2).sum(axis=0))
    usable = np.flatnonzero(spread > 0)
    centred, spread = centred[:, usable], spread[usable]
    y = y - y.mean()
    r = centred.T @ y / (spread * np.sqrt((y**2).sum()))
    R = centred.T @ centred / np.outer(spread, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = 1 - R**2
        explained = (r[:, None] ** 2 + r[None, :] ** 2 - 2 * np.outer(r, r) * R) / rest
        slope = (r[:, None] - r[None, :] * R) / rest / spread[:, None]  # of the column that the row of the matrix is
    explained = np.where(rest > 1e-6, explained, 0.0)
    evenness = np.abs(np.abs(slope) / np.maximum(np.abs(slope.T), 1e-300) - 1)
    candidates = np.argwhere(np.triu((explained >= SCREENING_R2) & (evenness <= COEFFICIENT_TOLERANCE), 1))
    order = np.argsort([-explained[i, j] for i, j in candidates], kind="stable")
    return [
        _Plane(int(usable[i]), int(usable[j]), float(slope[i, j]), float(slope[j, i]))
        for i, j in candidates[order][:MAX_CANDIDATES]
    ]


def class_pairs(columns: Mapping[str, Array], truth: npt.NDArray[Any]) -> Iterator[ColumnPair]:
    """Yield pairs whose sum or difference separates two classes, by a threshold or by being zero for one of them."""
    names = [name for name, values in columns.items() if np.isnan(values).mean() <= MAX_MISSING_SHARE]
    classes, counts = np.unique(truth, return_counts=True)
    if len(truth) < MIN_CLASS_ROWS or len(classes) != 2 or counts.min() < 20 or len(names) < 2:
        return
    X = np.column_stack([columns[name] for name in names])
    chosen = _balanced(truth, SCREENING_ROWS)
    Z, z = X[chosen], truth[chosen] == classes[1]
    candidates: list[tuple[float, int, int, int]] = []
    for i, j, sign in _distant_pairs(Z, z):
        mixed = Z[:, [i]] + sign * Z[:, [j]]
        score = float(_roc_auc(mixed, z)[0])
        if score > 0.995:
            candidates.append((score, i, j, sign))
    for _, i, j, sign in sorted(candidates, reverse=True)[:MAX_CANDIDATES]:
        values = X[:, i] + sign * X[:, j]
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > 0.5 * len(truth):
            yield ColumnPair(
                names[i], names[j], f"{names[i]!r} {'+' if sign > 0 else '-'} {names[j]!r}", rows, values[rows]
            )


def _distant_pairs(Z: Array, z: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs whose sum (1) or difference (-1) has distant class means, in standard deviations."""
    filled = np.where(np.isfinite(Z), Z, np.nanmean(Z, axis=0))
    gap = filled[z].mean(axis=0) - filled[~z].mean(axis=0)
    centred = filled - np.where(z[:, None], filled[z].mean(axis=0), filled[~z].mean(axis=0))
    spread = centred.T @ centred / len(Z)
    own = np.diag(spread)
    for sign in (1, -1):
        variance = np.maximum(own[:, None] + own[None, :] + 2 * sign * spread, 0)
        apart = np.abs(gap[:, None] + sign * gap[None, :]) >= MIN_CLASS_DISTANCE * np.sqrt(variance)
        for i, j in np.argwhere(np.triu(apart, 1))[:MAX_RANKED_PAIRS]:
            yield int(i), int(j), sign


def _balanced(truth: npt.NDArray[Any], n_rows: int) -> npt.NDArray[Any]:
    """Return the positions of up to `n_rows` rows, half of them of each class if there are enough."""
    parts = [np.flatnonzero(truth == value)[: n_rows // 2] for value in np.unique(truth)]
    return np.sort(np.concatenate(parts))


def _roc_auc(columns: Array, truth: npt.NDArray[Any]) -> Array:
    """Return the area under the ROC curve of each column or of its negative, whichever is larger; ties count half."""
    if columns.shape[1] == 0:
        return np.empty(0)
    columns = np.where(np.isfinite(columns), columns, np.nanmedian(columns, axis=0))
    order = np.argsort(columns, axis=0, kind="stable")
    ranked = np.take_along_axis(columns, order, axis=0)
    low = np.empty(columns.shape)
    steps = np.arange(1, len(columns) + 1, dtype=np.float64)[:, None]
    new = np.vstack([np.ones((1, columns.shape[1]), dtype=bool), ranked[1:] != ranked[:-1]])
    first = np.maximum.accumulate(np.where(new, steps, 0), axis=0)
    last_of = np.vstack([new[1:], np.ones((1, columns.shape[1]), dtype=bool)])
    last = np.minimum.accumulate(np.where(last_of, steps, np.inf)[::-1], axis=0)[::-1]
    np.put_along_axis(low, order, (first + last) / 2, axis=0)
    ones = int(truth.sum())
    zeros = len(truth) - ones
    area: Array = (low[truth].sum(axis=0) - ones * (ones + 1) / 2) / (ones * zeros)
    return np.maximum(area, 1 - area)
