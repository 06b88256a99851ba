"""Data drift of a column: how far its distribution is from the reference, and whether that can be chance.

A column has drifted if both keys hold: the effect is at least `effect`, and the p-value, adjusted for all columns, is
below `alpha`. With the p-value alone, large windows alarm at differences that nobody cares about; with the effect
alone, small windows alarm at chance. Missing values and categories that the reference lacks are values of their own.

References: Kolmogorov-Smirnov two-sample test (Hodges 1958); chi-square test of homogeneity with the correction of Rao
and Scott 1981; false discovery rate (Benjamini and Hochberg 1995); population stability index (Siddiqi 2006).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.monitoring.clusters import Codes, Floats, design_effect, entity_count, share_design_effect
from skline.monitoring.estimates import Estimate, estimate, finite, normal_estimate
from skline.monitoring.result import ColumnDrift

#: Bins of the histograms of numbers: quantiles of the reference.
BINS = 20
#: Categories with a bin of their own; rarer ones are pooled.
MAX_CATEGORIES = 50
#: Expected rows below which a category is pooled with the rare ones for the test.
MIN_EXPECTED = 5
MISSING, UNSEEN, OTHER = "(missing)", "(unseen)", "(other)"
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
    low, ref = _missing_lowest(values), np.sort(_missing_lowest(reference))
    order = np.argsort(low, kind="stable")
    grid = np.unique(np.concatenate([low, ref]))
    window_cdf = np.searchsorted(low[order], grid, side="right") / len(low)
    reference_cdf = np.searchsorted(ref, grid, side="right") / len(ref)
    at = int(np.abs(window_cdf - reference_cdf).argmax())
    below, reference_below = float(window_cdf[at]), float(reference_cdf[at])
    deff = max(
        design_effect(_ranks(low, grid), entities), design_effect((low <= grid[at]).astype(np.float64), entities)
    )
    effective = len(low) / deff
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
    """Compare categories by the total variation distance, and test by chi-square.

    Parameters
    ----------
    name, kind : str
    values, reference : object arrays, shapes (n,) and (m,)
        Text, or None where missing; n and m are at least 1.
    entities, reference_entities : int64 arrays, optional
        As for `numeric_drift`.
    """
    labels, counts, reference_counts, codes = _count_categories(values, reference)
    shares, reference_shares = counts / counts.sum(), reference_counts / reference_counts.sum()
    kept = _testable(counts, reference_counts)
    merged = np.where(kept, np.arange(len(labels)), len(labels))[codes]
    present = np.unique(merged)
    deff = share_design_effect(merged[:, None] == present[None, :], entities)
    effective = len(values) / deff
    reference_effective = _reference_rows(reference, deff, entities, reference_entities)
    # The total variation is the difference of the share of one set: the categories that are more frequent now.
    more = shares > reference_shares
    return ColumnDrift(
        column=name,
        kind=kind,
        rows=len(values),
        effective_rows=effective,
        reference_rows=len(reference),
        measure="total_variation",
        effect=_difference(
            float(shares[more].sum()), float(reference_shares[more].sum()), effective, reference_effective
        ),
        p=_chi_square_p(counts, reference_counts, kept, effective, reference_effective),
        wasserstein=None,
        **_histograms(labels, shares, reference_shares),
    )


def quantile_drift(name: str, values: Floats, quantiles: Sequence[float], rows: int, entities: Codes | None) -> Any:
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
    sizes = np.unique(entities, return_counts=True)[1].astype(np.float64)
    seen = max(float((sizes**2).sum() / sizes.sum()), 1 + 1e-9)
    correlation = min((deff - 1) / (seen - 1), 1.0) if seen > 1 else 0.0
    groups = entity_count(reference_entities if reference_entities is not None else entities) or 1
    return m / (1 + max(m / groups - 1, 0.0) * correlation)


def _difference(share: float, reference: float, rows: float, reference_rows: float) -> Estimate:
    """Return the absolute difference of two shares, with the normal interval of the difference."""
    variance = share * (1 - share) / rows + reference * (1 - reference) / reference_rows
    difference = normal_estimate(abs(share - reference), variance)
    return estimate(difference.value, max(difference.low or 0.0, 0.0), min(difference.high or 1.0, 1.0))


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


def _count_categories(values: npt.NDArray[Any], reference: npt.NDArray[Any]) -> tuple[list[str], Floats, Floats, Codes]:
    """Count the frequent categories of the reference, others, missing and unseen ones.

    Returns
    -------
    labels, counts, reference_counts, and the bin of each of `values`.
    """
    known: dict[str, int] = {}
    for value in reference:
        if value is not None:
            known[value] = known.get(value, 0) + 1
    frequent = sorted(known, key=lambda name: (-known[name], name))[:MAX_CATEGORIES]
    labels = [*frequent, OTHER, MISSING, UNSEEN]
    index = dict.fromkeys(known, len(frequent)) | {name: number for number, name in enumerate(frequent)}
    missing, unseen = len(frequent) + 1, len(frequent) + 2

    def code(column: npt.NDArray[Any]) -> Codes:
        return np.array(
            [missing if value is None else index.get(value, unseen) for value in column.tolist()], dtype=np.int64
        )

    codes = code(values)
    counts = np.bincount(codes, minlength=len(labels)).astype(np.float64)
    return labels, counts, np.bincount(code(reference), minlength=len(labels)).astype(np.float64), codes


def _testable(counts: Floats, reference_counts: Floats) -> npt.NDArray[np.bool_]:
    """Return which categories are expected often enough in both samples for the chi-square test."""
    pooled = (counts + reference_counts) / (counts.sum() + reference_counts.sum())
    kept: npt.NDArray[np.bool_] = pooled * min(counts.sum(), reference_counts.sum()) >= MIN_EXPECTED
    return kept


def _chi_square_p(
    counts: Floats, reference_counts: Floats, kept: npt.NDArray[np.bool_], rows: float, reference_rows: float
) -> float:
    """Return the p-value of the chi-square test of homogeneity with rare categories pooled, on effective rows."""
    from scipy.special import chdtrc

    window, reference = ((np.append(each[kept], each[~kept].sum()) / each.sum()) for each in (counts, reference_counts))
    pooled = (window * rows + reference * reference_rows) / (rows + reference_rows)
    used = pooled > 0
    if used.sum() < 2:
        return 1.0
    difference = (window - reference)[used] ** 2 / pooled[used]
    statistic = float(difference.sum()) * rows * reference_rows / (rows + reference_rows)
    return float(chdtrc(float(used.sum() - 1), statistic))


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
