"""Confidence intervals of metrics, and of differences between two models on the same rows: the percentile bootstrap.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13: rows are drawn with replacement, as many as
there are, and the interval holds the middle 95 % of the metrics of such resamples. For a difference both models are
scored on the same resamples. Rows are assumed to be independent: where they come in clusters, the true intervals are
wider than the ones stated here.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict

from skline.evaluation.metrics import compute_resampled_metrics, lower_is_better
from skline.evaluation.resampling import Draws, Floats, Sample

#: Share of the resamples that must have a value of the metric.
MIN_DEFINED_SHARE = 0.8
#: Row numbers drawn at a time, so that the arrays computed from them fit the processor's cache.
BLOCK_ROWS = 120_000
CONFIDENCE = 0.95


class Difference(BaseModel):
    """How much better one model is than another: above zero is better, whichever direction the metric has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float
    low: float
    high: float
    rows: int


def confidence_intervals(sample: Sample, n_resamples: int, seed: int) -> dict[str, tuple[float, float] | None]:
    """Return each metric's 95 % interval; None where too many resamples have no value of it."""
    blocks = [compute_resampled_metrics(sample, draws) for draws in draw_rows(sample.size, n_resamples, seed)]
    return {name: percentile_interval(np.concatenate([block[name] for block in blocks])) for name in blocks[0]}


def metrics_without_interval(
    metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float] | None]
) -> list[str]:
    """Return the metrics that have a value and no interval."""
    return [name for name in metrics if intervals.get(name) is None]


def paired_difference(
    sample: Sample, other: Sample, metric: str, n_resamples: int, seed: int, confidence: float = CONFIDENCE
) -> Difference | None:
    """Compare two models on the same rows.

    Parameters
    ----------
    sample, other : Sample
        Scores of the model and of the one it is compared with, of the same rows in the same order.
    metric : str
    n_resamples, seed : int
    confidence : float
        Of the interval.

    Returns
    -------
    Difference, or None where the metric has no value on the rows or on too many resamples of them.
    """
    values = np.concatenate(
        [_resampled_gain(sample, other, metric, d) for d in draw_rows(sample.size, n_resamples, seed)]
    )
    value = gain(sample, other, metric)
    interval = percentile_interval(values, confidence)
    if interval is None or not np.isfinite(value):
        return None
    return Difference(metric=metric, value=value, low=interval[0], high=interval[1], rows=sample.size)


def gain(sample: Sample, other: Sample, metric: str) -> float:
    """Return how much better a model is than another on the same rows; NaN where the metric has no value."""
    return float(_resampled_gain(sample, other, metric, each_row_once(sample.size))[0])


def metric_values(sample: Sample) -> dict[str, float]:
    """Return each metric of the sample; NaN where it has no value, such as an area of one class alone."""
    values = compute_resampled_metrics(sample, each_row_once(sample.size))
    return {name: float(value[0]) for name, value in values.items()}


def metric_value(sample: Sample, metric: str) -> float:
    """Return one metric of the sample; NaN where it has no value."""
    return float(compute_resampled_metrics(sample, each_row_once(sample.size), metric)[metric][0])


def draw_rows(size: int, n_resamples: int, seed: int) -> Iterator[Draws]:
    """Draw row numbers with replacement, in blocks of shape (some resamples, size): `n_resamples` in all."""
    random = np.random.default_rng(seed)
    in_block = max(1, min(n_resamples, BLOCK_ROWS // max(size, 1)))
    for start in range(0, n_resamples, in_block):
        yield random.integers(0, size, (min(in_block, n_resamples - start), size), dtype=np.intp)


def each_row_once(size: int) -> Draws:
    """Return the one draw, of shape (1, size), that is the sample itself."""
    return np.arange(size, dtype=np.intp)[None, :]


def percentile_interval(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the ends of the middle share of resampled values of shape (n_resamples,); None if too many are NaN.

    With few rows a resample may lack a class and has no value then: the interval is that of the others.
    """
    defined = values[np.isfinite(values)]
    if len(defined) < MIN_DEFINED_SHARE * len(values):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resampled_gain(sample: Sample, other: Sample, metric: str, draws: Draws) -> Floats:
    first, second = (compute_resampled_metrics(each, draws, metric)[metric] for each in (sample, other))
    return second - first if lower_is_better(metric) else first - second
