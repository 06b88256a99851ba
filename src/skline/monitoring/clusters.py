"""The effective sample size of dependent rows.

Rows of one entity resemble each other. A mean of n such rows varies like one of n / deff independent rows, with the
design effect deff = 1 + (m - 1) r (Kish 1965, "Survey Sampling"): r is the intraclass correlation, m the mean size of
an entity as its rows see it, Σm² / Σm.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
#: Numbers of entities above this multiple of the rows are sorted, smaller ones counted, which is faster.
MAX_SPARSE = 20


def design_effect(values: Floats, entities: Codes | None) -> float:
    """Return the design effect of the mean of some values, at least 1.

    Parameters
    ----------
    values : float64 array, shape (n,)
        NaN are left out.
    entities : int64 array, shape (n,), or None
        The entity of each value, as a number from 0 on; -1 is a row without one, which stands for itself. None: rows
        are independent.
    """
    if entities is None or not len(values):
        return 1.0
    present = np.isfinite(values)
    values, groups = values[present], compact(entities[present])
    if len(values) < 2:
        return 1.0
    sizes = np.bincount(groups).astype(np.float64)
    seen = size_seen(sizes)
    return 1.0 if seen <= 1 else 1 + (seen - 1) * intraclass_correlation(values, groups, sizes)


def size_seen(sizes: Floats) -> float:
    """Return the mean size of an entity as its rows see it, from the number of rows of each entity."""
    return float((sizes**2).sum() / sizes.sum())


def intraclass_correlation(values: Floats, groups: Codes, sizes: Floats) -> float:
    """Return the intraclass correlation from a one-way analysis of variance (Donner 1986), between 0 and 1.

    Parameters
    ----------
    values, groups : arrays of shape (n,)
        `groups` are numbers from 0 without gaps.
    sizes : float64 array
        Rows of each group.
    """
    centred = values - values.mean()
    sums = np.bincount(groups, weights=centred)
    return _correlation(float((sums**2 / sizes).sum()), float((centred**2).sum()), sizes)


def _correlation(between: float, total: float, sizes: Floats) -> float:
    """Return the intraclass correlation from the sums of squares between groups and in total."""
    n, k = float(sizes.sum()), float(len(sizes))
    if k < 2:
        return 1.0
    if n <= k:
        return 0.0
    within = max(total - between, 0.0)
    mean_between, mean_within = between / (k - 1), within / (n - k)
    typical = (n - float((sizes**2).sum()) / n) / (k - 1)
    spread = mean_between + (typical - 1) * mean_within
    return float(np.clip((mean_between - mean_within) / spread, 0.0, 1.0)) if spread > 0 else 0.0


def share_design_effect(bins: Codes, entities: Codes | None) -> float:
    """Return the design effect of the shares of bins: the mean over the bins, weighted by their variance.

    This is the first-order correction of Rao and Scott 1981, "The analysis of categorical data from complex sample
    surveys".

    Parameters
    ----------
    bins : int64 array, shape (n,)
        The bin of each row, from 0 on.
    entities : int64 array, shape (n,), or None
    """
    n = len(bins)
    if entities is None or n < 2:
        return 1.0
    groups = compact(entities)
    sizes = np.bincount(groups).astype(np.float64)
    counts = np.bincount(bins).astype(np.float64)
    weights = counts / n * (1 - counts / n)
    seen = size_seen(sizes)
    if not weights.sum() or seen <= 1:
        return 1.0
    pairs, rows = np.unique(groups * len(counts) + bins, return_counts=True)
    squares = np.bincount(pairs % len(counts), rows**2 / sizes[pairs // len(counts)], minlength=len(counts))
    correlations = [
        _correlation(between - count**2 / n, count * (1 - count / n), sizes)
        for between, count in zip(squares.tolist(), counts.tolist(), strict=True)
    ]
    effects = 1 + (seen - 1) * np.array(correlations)
    return max(1.0, float((effects * weights).sum() / weights.sum()))


def entity_count(entities: Codes | None) -> int | None:
    """Return the number of distinct entities, rows without one counted each; None without entities."""
    return None if entities is None else int(compact(entities).max(initial=-1)) + 1


def compact(entities: Codes) -> Codes:
    """Number entities from 0 without gaps; each row without an entity gets a number of its own."""
    groups = entities.astype(np.int64)
    alone = groups < 0
    if alone.any():
        groups = groups.copy()
        groups[alone] = groups.max(initial=0) + 1 + np.arange(int(alone.sum()))
    if groups.max(initial=0) > MAX_SPARSE * len(groups):
        groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    numbers: Codes = np.cumsum(np.bincount(groups) > 0) - 1
    return numbers[groups]
