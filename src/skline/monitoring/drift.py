"""Data drift of a column: how far its distribution is from the reference, and whether that can be chance.

A column has drifted if two conditions hold: the effect is at least `effect`, and the p-value, adjusted for all columns,
is below `alpha`. With the p-value alone, large windows alarm at differences that do not matter; with the effect alone,
small windows alarm at chance. Missing values and categories that the reference lacks are values of their own.

Another test is a function here, the name of its measure in `skline.monitoring.data_results.MEASURES`, and the choice of
columns in `skline.monitoring.data_analysis.column_drift`.

References: Kolmogorov-Smirnov two-sample test (Hodges 1958); chi-square test of homogeneity with the correction of Rao
and Scott 1981; false discovery rate (Benjamini and Hochberg 1995); population stability index (Siddiqi 2006).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.monitoring.categories import MISSING, count_categories
from skline.monitoring.clusters import (
    Codes,
    Floats,
    compact,
    design_effect,
    entity_count,
    share_design_effect,
    size_seen,
)
from skline.monitoring.data_results import ColumnDrift
from skline.monitoring.estimates import Estimate, estimate, finite, normal_estimate

#: Bins of the histograms of numbers: quantiles of the reference.
BINS = 20
#: Added to shares of 0, so that the population stability index is finite.
PSI_FLOOR = 1e-4


def numeric_drift(
    name: str,
    kind: str,
    values: Floats,
    reference: Floats,
    entities: Codes | None = None,
    reference_entities: Codes | None = None,
) -> ColumnDrift:
    """Compare numbers by the Kolmogorov-Smirnov distance; missing values are taken for the smallest number.

    Parameters
    ----------
    name, kind : str
    values, reference : float64 arrays, shapes (n,) and (m,)
        NaN where missing; n and m are at least 1.
    entities, reference_entities : int64 arrays, optional
        The entity of each row; rows of one entity are not independent. Without those of the reference it is taken to
        have as many entities as the window.
    """
    window, ref = _missing_lowest(values), np.sort(_missing_lowest(reference))
    grid = np.unique(np.concatenate([window, ref]))
    window_cdf = np.searchsorted(np.sort(window), grid, side="right") / len(window)
    reference_cdf = np.searchsorted(ref, grid, side="right") / len(ref)
    farthest = int(np.abs(window_cdf - reference_cdf).argmax())
    below, reference_below = float(window_cdf[farthest]), float(reference_cdf[farthest])
    is_below = (window <= grid[farthest]).astype(np.float64)
    deff = max(design_effect(_ranks(window, grid), entities), design_effect(is_below, entities))
    effective = len(window) / deff
    reference_effective = _reference_rows(reference, deff, entities, reference_entities)
    edges = quantile_edges(reference)
    shares, labels = histogram(values, edges)
    reference_shares, _ = histogram(reference, edges)
    scale = float(np.nanstd(reference)) if np.isfinite(reference).any() else 0.0
    return ColumnDrift(
        column=name,
        kind=kind,
        rows=len(values),
        effective_rows=effective,
        reference_rows=len(reference),
        measure="ks_d",
        effect=_difference(below, reference_below, effective, reference_effective),
        p=_kolmogorov_p(abs(below - reference_below), effective, reference_effective),
        wasserstein=_wasserstein(values, reference, scale),
        edges=tuple(edges.tolist()),
        **_histograms(labels, shares, reference_shares),
    )


def category_drift(
    name: str,
    kind: str,
    values: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    entities: Codes | None = None,
    reference_entities: Codes | None = None,
) -> ColumnDrift:
    """Compare categories by the total variation distance beyond chance, and test by chi-square.

    Parameters
    ----------
    name, kind : str
    values, reference : object arrays, shapes (n,) and (m,)
        Text, or None where missing; n and m are at least 1.
    entities, reference_entities : int64 arrays, optional
        As for `numeric_drift`.
    """
    from scipy.special import chdtrc

    size = entity_count(entities) or len(values)
    # Without entities of its own the reference is taken to have as many as the window.
    assumed_size = len(reference) if entities is None else min(len(reference), size)
    reference_size = entity_count(reference_entities) or assumed_size
    categories = count_categories(values, reference, (size, reference_size))
    shares, reference_shares = categories.counts / len(values), categories.reference_counts / len(reference)
    deff = share_design_effect(categories.codes, entities)
    effective = len(values) / deff
    reference_effective = _reference_rows(reference, deff, entities, reference_entities)
    statistic, freedom = _chi_square(shares, reference_shares, effective, reference_effective)
    # The total variation is the difference of the share of one set: the categories that are more frequent now.
    more = shares > reference_shares
    difference = _difference(
        float(shares[more].sum()), float(reference_shares[more].sum()), effective, reference_effective
    )
    return ColumnDrift(
        column=name,
        kind=kind,
        rows=len(values),
        effective_rows=effective,
        reference_rows=len(reference),
        measure="total_variation",
        effect=_beyond_chance(difference, statistic, freedom),
        p=float(chdtrc(freedom, statistic)) if freedom else 1.0,
        wasserstein=None,
        **_histograms(categories.labels, shares, reference_shares),
    )


def quantile_drift(
    name: str, values: Floats, quantiles: Sequence[float], rows: int, entities: Codes | None
) -> ColumnDrift:
    """Compare numbers with a reference of which only quantiles at equal steps from 0 to 1 are known.

    `rows` is how many rows the quantiles were computed from; they stand for it in the test.
    """
    steps = np.linspace(0, 1, len(quantiles))
    positions = (np.arange(rows) + 0.5) / rows
    return numeric_drift(name, "number", values, np.interp(positions, steps, np.asarray(quantiles, float)), entities)


def adjust(columns: Sequence[ColumnDrift], effect: float, alpha: float, min_rows: int) -> list[ColumnDrift]:
    """Decide which columns have drifted, with the p-values adjusted over all of them (Benjamini and Hochberg 1995).

    A column of fewer than `min_rows` rows is undecided. Columns that are not tested are left out of the adjustment.
    """
    from scipy.stats import false_discovery_control

    raw = {column.column: column.p for column in columns if column.tested and column.p is not None}
    adjusted = dict(zip(raw, false_discovery_control(list(raw.values())).tolist(), strict=True)) if raw else {}
    decided = []
    for column in columns:
        p = adjusted.get(column.column)
        drifted = None
        if column.rows >= min_rows and p is not None and column.effect.value is not None:
            drifted = column.effect.value >= effect and p < alpha
        decided.append(column.model_copy(update={"p_adjusted": finite(p), "drifted": drifted}))
    return decided


def weighted_importance(columns: Sequence[ColumnDrift], importance: Mapping[str, float]) -> float | None:
    """Return the share of the model's importance that drifted columns have, each weighted by its effect.

    Negative importances count as 0. None if no importance is known.
    """
    positive = {name: max(value, 0.0) for name, value in importance.items()}
    total = sum(positive.values())
    if not total:
        return None
    return sum(positive.get(each.column, 0.0) * (each.effect.value or 0.0) for each in columns if each.drifted) / total


def quantile_edges(reference: Floats) -> Floats:
    """Return the inner edges of bins of about equal count; the outer bins are open."""
    present = reference[np.isfinite(reference)]
    if not len(present):
        return np.array([], dtype=np.float64)
    edges: Floats = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]))
    return edges


def histogram(values: Floats, edges: Floats) -> tuple[Floats, tuple[str, ...]]:
    """Return the share of each bin, and the bins' labels; the last bin holds the missing values."""
    missing = np.isnan(values)
    counts = np.bincount(np.searchsorted(edges, values[~missing], side="left"), minlength=len(edges) + 1)
    shares = np.append(counts, missing.sum()) / max(len(values), 1)
    bounds = ["", *(f"{edge:.4g}" for edge in edges), ""]
    labels = [f"{low} to {high}" if low and high else f"≤ {high}" if high else f"> {low}" if low else "all"
              for low, high in pairwise(bounds)]  # fmt: skip
    return shares, (*labels, MISSING)


def psi(shares: Floats, reference: Floats) -> float:
    """Return the population stability index of two histograms over the same bins."""
    p, q = np.maximum(shares, PSI_FLOOR), np.maximum(reference, PSI_FLOOR)
    return float(((p - q) * np.log(p / q)).sum())


def _missing_lowest(values: Floats) -> Floats:
    lowest: Floats = np.where(np.isnan(values), -np.inf, values)
    return lowest


def _ranks(values: Floats, grid: Floats) -> Floats:
    ranks: Floats = np.searchsorted(grid, values).astype(np.float64)
    return ranks


def _reference_rows(
    reference: npt.NDArray[Any], deff: float, entities: Codes | None, reference_entities: Codes | None
) -> float:
    """Return the effective rows of the reference, with the window's intraclass correlation.

    Its rows come from as many entities as the window's if theirs are unknown.
    """
    m = len(reference)
    if entities is None or deff <= 1:
        return float(m)
    seen = size_seen(np.bincount(compact(entities)).astype(np.float64))  # above 1, or deff were 1
    correlation = min((deff - 1) / (seen - 1), 1.0)
    groups = entity_count(entities if reference_entities is None else reference_entities) or 1
    return m / (1 + max(m / groups - 1, 0.0) * correlation)


def _difference(share: float, reference: float, rows: float, reference_rows: float) -> Estimate:
    """Return the absolute difference of two shares, with the normal interval of the difference."""
    variance = share * (1 - share) / rows + reference * (1 - reference) / reference_rows
    difference = normal_estimate(abs(share - reference), variance)
    return estimate(difference.value, max(difference.low or 0.0, 0.0), min(difference.high or 1.0, 1.0))


def _beyond_chance(difference: Estimate, statistic: float, freedom: float) -> Estimate:
    """Return a distance of shares without what two samples of one distribution are expected to differ by.

    Many categories make the distance of two small samples large by chance alone. Of the chi-square statistic, as much
    as its degrees of freedom is expected by chance; the distance is of the order of its root (Bergsma 2013, "A
    bias-correction for Cramér's V and Tschuprow's T").
    """
    if not freedom or difference.value is None:
        return difference
    share = np.sqrt(max(1 - freedom / statistic, 0.0)) if statistic else 0.0
    shift = difference.value * (1 - share)
    return estimate(
        difference.value - shift, max((difference.low or 0.0) - shift, 0.0), max((difference.high or 0.0) - shift, 0.0)
    )


def _kolmogorov_p(distance: float, rows: float, reference_rows: float) -> float:
    """Return the p-value of the Kolmogorov-Smirnov distance of two samples; conservative if values are tied."""
    from scipy.special import kolmogorov

    size = np.sqrt(rows * reference_rows / (rows + reference_rows))
    # Stephens 1970: the correction makes the asymptotic distribution fit small samples.
    return float(kolmogorov((size + 0.12 + 0.11 / size) * distance))


def _wasserstein(values: Floats, reference: Floats, scale: float) -> float | None:
    """Return the Wasserstein distance of the present values, in standard deviations of the reference."""
    from scipy.stats import wasserstein_distance

    present, known = values[np.isfinite(values)], reference[np.isfinite(reference)]
    if not (len(present) and len(known) and scale):
        return None
    return finite(float(wasserstein_distance(present, known)) / scale)


def _chi_square(shares: Floats, reference: Floats, rows: float, reference_rows: float) -> tuple[float, float]:
    """Return the statistic of the chi-square test of homogeneity on effective rows, and its degrees of freedom."""
    pooled = (shares * rows + reference * reference_rows) / (rows + reference_rows)
    used = pooled > 0
    difference = (shares - reference)[used] ** 2 / pooled[used]
    return float(difference.sum()) * rows * reference_rows / (rows + reference_rows), float(used.sum() - 1)


def _histograms(labels: Sequence[str], shares: Floats, reference_shares: Floats) -> dict[str, Any]:
    """Return the fields of a ColumnDrift about its histograms."""
    return {
        "psi": psi(shares, reference_shares),
        "bins": tuple(labels),
        "shares": _floats(shares),
        "reference_shares": _floats(reference_shares),
    }


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
