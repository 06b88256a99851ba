"""Search for two columns whose sum, difference, product or ratio gives the target: screened, then checked."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: A column that is missing more often than this has no part in a pair.
MOST_MISSING = 0.3
#: Screening by a straight line wants this much, before the exact check.
SCREEN_R2 = 0.98
#: How far the two coefficients may be from equal size.
EVEN = 0.03
#: Pairs are looked at for classes only where rows are many: among few rows some pair always fits.
FEWEST_ROWS = 300
SCREEN_ROWS = 400
#: Distance of two classes' means, in standard deviations, below which no place parts them; so many pairs are ranked.
APART = 1.3
MOST_APART = 20_000
MOST_CANDIDATES = 50


class Pair(NamedTuple):
    """Two columns, what is made of them, and its values in those `rows` of the sample where both are there."""

    first: str
    second: str
    formula: str
    rows: npt.NDArray[Any]
    values: Array


def number_pairs(columns: Mapping[str, Array], truth: Array) -> Iterator[Pair]:
    """Yield pairs that give a number: a ± b by a plane through the rows, a·b and a/b by the same among logarithms."""
    yield from _planes(columns, truth, log=False)
    positive = {name: values for name, values in columns.items() if (values[np.isfinite(values)] > 0).mean() > 0.9}
    if (truth > 0).mean() > 0.9:
        yield from _planes(positive, truth, log=True)


def _planes(columns: Mapping[str, Array], truth: Array, *, log: bool) -> Iterator[Pair]:
    """Yield pairs of even coefficients whose plane explains nearly all, the best first."""
    names = [name for name, values in columns.items() if np.isnan(values).mean() <= MOST_MISSING]
    if len(names) < 2 or np.ptp(truth) == 0:
        return
    X = np.column_stack([columns[name] for name in names])
    y = truth
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            X, y = np.where(X > 0, np.log(X), np.nan), np.where(truth > 0, np.log(truth), np.nan)
    kept = np.isfinite(y)
    X, y = X[kept], y[kept]
    means = np.nanmean(X, axis=0)
    centred = np.where(np.isfinite(X), X - means, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0))
    usable = spread > 0
    names = [name for name, use in zip(names, usable, strict=True) if use]
    centred, spread = centred[:, usable], spread[usable]
    y = y - y.mean()
    r = centred.T @ y / (spread * np.sqrt((y**2).sum()))
    R = centred.T @ centred / np.outer(spread, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = 1 - R**2
        explained = (r[:, None] ** 2 + r[None, :] ** 2 - 2 * np.outer(r, r) * R) / rest
        slope = (r[:, None] - r[None, :] * R) / rest / spread[:, None]  # of the first, up to the target's spread
    explained = np.where(rest > 1e-6, explained, 0.0)
    evenness = np.abs(np.abs(slope) / np.maximum(np.abs(slope.T), 1e-300) - 1)
    candidates = np.argwhere(np.triu((explained >= SCREEN_R2) & (evenness <= EVEN), 1))
    order = np.argsort([-explained[i, j] for i, j in candidates], kind="stable")
    for i, j in candidates[order][:MOST_CANDIDATES]:
        minus = np.sign(slope[i, j]) != np.sign(slope[j, i])
        a, b = columns[names[i]], columns[names[j]]
        with np.errstate(divide="ignore", invalid="ignore"):
            if log:
                values, sign = (a / b, "/") if minus else (a * b, "·")
                if minus and slope[i, j] < 0:
                    values, sign = b / a, "\\"
            else:
                values, sign = (a - b, "-") if minus else (a + b, "+")
        first, second = (names[j], names[i]) if sign == "\\" else (names[i], names[j])
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > 0.5 * len(truth):
            yield Pair(first, second, f"{first!r} {sign.replace(chr(92), '/')} {second!r}", rows, values[rows])


def class_pairs(columns: Mapping[str, Array], truth: npt.NDArray[Any]) -> Iterator[Pair]:
    """Yield pairs whose sum or difference parts two classes at one place, or shows one of them by being zero."""
    names = [name for name, values in columns.items() if np.isnan(values).mean() <= MOST_MISSING]
    classes, counts = np.unique(truth, return_counts=True)
    if len(truth) < FEWEST_ROWS or len(classes) != 2 or counts.min() < 20 or len(names) < 2:
        return
    X = np.column_stack([columns[name] for name in names])
    chosen = _balanced(truth, SCREEN_ROWS)
    Z, z = X[chosen], truth[chosen] == classes[1]
    found: list[tuple[float, int, int, int]] = []
    for i, j, sign in _apart(Z, z):
        mixed = Z[:, [i]] + sign * Z[:, [j]]
        score = float(_separation(mixed, z)[0])
        if score > 0.995:
            found.append((score, i, j, sign))
    for _, i, j, sign in sorted(found, reverse=True)[:MOST_CANDIDATES]:
        values = X[:, i] + sign * X[:, j]
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > 0.5 * len(truth):
            yield Pair(names[i], names[j], f"{names[i]!r} {'+' if sign > 0 else '-'} {names[j]!r}", rows, values[rows])


def _apart(Z: Array, z: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Yield the pairs whose sum (1) or difference (-1) has class means far enough apart, in their own spread."""
    filled = np.where(np.isfinite(Z), Z, np.nanmean(Z, axis=0))
    gap = filled[z].mean(axis=0) - filled[~z].mean(axis=0)
    centred = filled - np.where(z[:, None], filled[z].mean(axis=0), filled[~z].mean(axis=0))
    spread = centred.T @ centred / len(Z)
    own = np.diag(spread)
    for sign in (1, -1):
        variance = np.maximum(own[:, None] + own[None, :] + 2 * sign * spread, 0)
        apart = np.abs(gap[:, None] + sign * gap[None, :]) >= APART * np.sqrt(variance)
        for i, j in np.argwhere(np.triu(apart, 1))[:MOST_APART]:
            yield int(i), int(j), sign


def _balanced(truth: npt.NDArray[Any], n_rows: int) -> npt.NDArray[Any]:
    """Choose rows, half of them of each class where there are enough."""
    parts = [np.flatnonzero(truth == value)[: n_rows // 2] for value in np.unique(truth)]
    return np.sort(np.concatenate(parts))


def _separation(columns: Array, truth: npt.NDArray[Any]) -> Array:
    """Return the area under the ROC curve of each column, or of its opposite; ties in favour of nobody."""
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
