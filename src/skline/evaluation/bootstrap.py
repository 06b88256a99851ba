"""How far a metric, or a difference of two models on the same rows, may be off: the percentile bootstrap.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13: rows are drawn with repetition, as many as
there are, and the interval holds the middle 95 % of the metrics of such draws. For a difference both models are scored
on the same draws. Rows are taken to be independent: where they come in clusters, intervals are wider than stated here.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from skline.evaluation.sampled import LOWER, Sampled

#: Share of the resamples that must have a value of the metric.
DEFINED = 0.8
#: Row numbers drawn at a time: what they are worked into then fits the processor's cache.
BLOCK = 120_000
LEVEL = 0.95


class Difference(BaseModel):
    """How much better one model is than another: above zero is better, whichever way the metric points."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float
    low: float
    high: float
    rows: int


def draws(size: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Draw row numbers with repetition: blocks of shape (some resamples, size), in all `resamples`."""
    random = np.random.default_rng(seed)
    at_once = max(1, min(resamples, BLOCK // max(size, 1)))
    for start in range(0, resamples, at_once):
        yield random.integers(0, size, (min(at_once, resamples - start), size), dtype=np.intp)


def all_once(size: int) -> npt.NDArray[np.intp]:
    """Every row once: the metrics as they are."""
    return np.arange(size, dtype=np.intp)[None, :]


def values(model: Sampled) -> dict[str, float]:
    """Return each metric of the rows as they are."""
    return {name: float(value[0]) for name, value in model.metrics(all_once(model.size)).items()}


def intervals(model: Sampled, resamples: int, seed: int) -> dict[str, tuple[float, float] | None]:
    """Return each metric's 95 % interval; None where too many resamples have no value of it."""
    blocks = [model.metrics(rows) for rows in draws(model.size, resamples, seed)]
    return {name: middle(np.concatenate([block[name] for block in blocks])) for name in blocks[0]}


def paired(
    model: Sampled, other: Sampled, metric: str, resamples: int, seed: int, level: float = LEVEL
) -> Difference | None:
    """Compare two models on the same rows.

    Returns
    -------
    Difference, or None where the metric has no value on the rows or on a resample of them.
    """

    def difference(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        first, second = (each.metrics(rows, metric)[metric] for each in (model, other))
        return second - first if metric in LOWER else first - second

    found = np.concatenate([difference(rows) for rows in draws(model.size, resamples, seed)])
    value = float(difference(all_once(model.size))[0])
    ends = middle(found, level)
    if ends is None or not np.isfinite(value):
        return None
    return Difference(metric=metric, value=value, low=ends[0], high=ends[1], rows=model.size)


def middle(found: npt.NDArray[np.float64], level: float = LEVEL) -> tuple[float, float] | None:
    """Ends of the middle share of resamples of shape (b,); None if too many of them are no numbers.

    Of few rows a resample may miss a class, and has no value then: what is said is of those in which all occur.
    """
    defined = found[np.isfinite(found)]
    if len(defined) < DEFINED * len(found):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def outside(metrics: Mapping[str, float], ends: Mapping[str, tuple[float, float] | None]) -> list[str]:
    """Metrics that have a value and no interval."""
    return [name for name in metrics if ends.get(name) is None]
