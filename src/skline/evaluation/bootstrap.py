"""Confidence intervals of metrics, and of differences between two models on the same rows: the percentile bootstrap.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13: rows are drawn with replacement, as many as
there are, and the interval holds the middle 95 % of the metrics of such resamples. For a difference both models are
scored on the same resamples. Rows are assumed to be independent: where they come in clusters, the true intervals are
wider than the ones stated here.

With many rows the resamples are drawn within random subsets, and their deviations are scaled to the number of all rows,
in proportion to its square root: a metric's deviations are then near normal, so that only their size is to be
estimated. This is the bag of little bootstraps (Kleiner, Talwalkar, Sarkar and Jordan 2014, "A scalable bootstrap for
massive data") with resamples as large as the subset. A metric may have an interval of its own instead
(`Computation.interval`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from skline.evaluation.metric_values import closed_form_intervals, compute_resampled_metrics
from skline.evaluation.metrics import closed_form_metrics, lower_is_better
from skline.evaluation.resampling import Draws, Floats, Sample
from skline.parallel import LOCAL, Workers

#: Share of the resamples that must have a value of the metric.
MIN_DEFINED_SHARE = 0.8
#: Row numbers drawn at a time, so that the arrays computed from them fit the processor's cache.
BLOCK_ROWS = 120_000
#: Rows of a subset; samples of up to twice as many are resampled as a whole.
SUBSET_ROWS = 10_000
#: Rows of the rarest class that a subset must hold on average; it is larger where a class is rarer.
SUBSET_CLASS_ROWS = 500
#: Subsets among which the resamples are divided.
SUBSETS = 10
CONFIDENCE = 0.95


class Difference(BaseModel):
    """How much better one model is than another: above zero is better, whichever direction the metric has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float
    low: float
    high: float
    rows: int


Intervals = dict[str, tuple[float, float] | None]


def confidence_intervals(sample: Sample, n_resamples: int, seed: int, workers: Workers = LOCAL) -> Intervals:
    """Return each metric's 95 % interval; None where it has none, or too many resamples have no value of it."""
    return next(confidence_intervals_of_each((sample,), n_resamples, seed, workers))


def confidence_intervals_of_each(
    samples: Iterable[Sample], n_resamples: int, seed: int, workers: Workers = LOCAL
) -> Iterator[Intervals]:
    """Yield the intervals of each sample; see `confidence_intervals`."""
    closed: deque[Intervals] = deque()

    def groups() -> Iterator[tuple[Sample]]:
        for sample in samples:
            closed.append(closed_form_intervals(sample, CONFIDENCE))
            yield (sample,)

    for resampled in resample_each(groups(), _bootstrapped_metrics, n_resamples, seed, workers):
        yield {name: percentile_interval(values) for name, values in resampled.items()} | closed.popleft()


def _bootstrapped_metrics(samples: Sequence[Sample], draws: Draws) -> dict[str, Floats]:
    return compute_resampled_metrics(samples[0], draws, leave_out=closed_form_metrics(samples[0].task))


def metrics_without_interval(
    metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float] | None]
) -> list[str]:
    """Return the metrics that have a value and no interval."""
    return [name for name in metrics if intervals.get(name) is None]


def paired_difference(
    sample: Sample,
    other: Sample,
    metric: str,
    n_resamples: int,
    seed: int,
    confidence: float = CONFIDENCE,
    workers: Workers = LOCAL,
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
    workers : Workers
        Compute the resamples.

    Returns
    -------
    Difference, or None where the metric has no value on the rows or on too many resamples of them.
    """
    values = resample((sample, other), partial(_resampled_gains, metric), n_resamples, seed, workers)[metric]
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


#: Computes statistics of many resamples of samples of the same rows: name → float64 of shape (n_resamples,).
Statistics = Callable[[Sequence[Sample], Draws], dict[str, Floats]]


class Resamples(NamedTuple):
    """Resamples to draw by a seed, each of as many rows as the samples of the same rows have."""

    samples: Sequence[Sample]
    number: int
    seed: int


def resample(
    samples: Sequence[Sample], statistics: Statistics, n_resamples: int, seed: int, workers: Workers = LOCAL
) -> dict[str, Floats]:
    """Compute statistics of resamples of samples of the same rows.

    Parameters
    ----------
    samples : sequence of Sample
        One or more models' scores of the same rows in the same order.
    statistics : callable
    n_resamples, seed : int
    workers : Workers
        Compute the resamples; only those of subsets are computed at the same time.

    Returns
    -------
    Statistic → float64 of shape (about n_resamples,), NaN where a resample has no value; of a sample with many rows
    the values are those of its subsets, scaled (see the module's docstring).
    """
    return next(resample_each((samples,), statistics, n_resamples, seed, workers))


def resample_each(
    groups: Iterable[Sequence[Sample]], statistics: Statistics, n_resamples: int, seed: int, workers: Workers = LOCAL
) -> Iterator[dict[str, Floats]]:
    """Yield the statistics of each group of samples; see `resample`. The groups need not be of the same rows."""
    plans: deque[_Plan] = deque()

    def tasks() -> Iterator[Resamples]:
        for samples in groups:
            plan = _plan(samples, statistics, n_resamples, seed)
            plans.append(plan)
            yield from plan.tasks

    results = workers.map(_compute, statistics, tasks())
    for first in results:
        plan = plans.popleft()
        rest = islice(results, plan.n_tasks - 1)
        yield plan.combine([first, *rest])


class _Plan(NamedTuple):
    """How a group of samples is resampled: as a whole, or in subsets.

    For subsets, `values` are the statistics of all rows, and `scale` is the factor of the deviations.
    """

    tasks: Iterator[Resamples]
    n_tasks: int
    values: dict[str, Floats] | None = None
    scale: float = 1.0

    def combine(self, results: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
        """Return the statistics from those of the tasks."""
        if self.values is None:
            return dict(results[0])
        deviations = [{name: _deviations(each) * self.scale for name, each in result.items()} for result in results]
        return {name: self.values[name] + each for name, each in _concatenate(deviations).items()}


def _plan(samples: Sequence[Sample], statistics: Statistics, n_resamples: int, seed: int) -> _Plan:
    size = samples[0].size
    subset_rows = max(map(_subset_rows, samples))
    if size <= 2 * subset_rows:
        return _Plan(iter([Resamples(samples, n_resamples, seed)]), 1)
    in_subset = max(2, -(-n_resamples // SUBSETS))
    # The mean of the resamples is taken from them too, which makes their deviations smaller by the second factor.
    scale = float(np.sqrt(subset_rows / size) * np.sqrt(in_subset / (in_subset - 1)))

    def subsets() -> Iterator[Resamples]:
        random = np.random.default_rng(seed)
        for _ in range(SUBSETS):
            rows = np.sort(random.choice(size, subset_rows, replace=False)).astype(np.intp)
            yield Resamples([sample.take(rows) for sample in samples], in_subset, int(random.integers(2**63)))

    return _Plan(subsets(), SUBSETS, statistics(samples, each_row_once(size)), scale)


def _compute(statistics: Statistics, resamples: Resamples) -> dict[str, Floats]:
    """Draw the resamples, and compute their statistics."""
    blocks = draw_rows(resamples.samples[0].size, resamples.number, resamples.seed)
    return _concatenate([statistics(resamples.samples, draws) for draws in blocks])


def _subset_rows(sample: Sample) -> int:
    """Return the rows of a subset that has enough rows of each class, true and predicted."""
    return max(SUBSET_ROWS, -(-SUBSET_CLASS_ROWS * sample.size // max(sample.rarest_class_rows, 1)))


def _deviations(values: Floats) -> Floats:
    """Return the deviations from the mean of the values that are not NaN."""
    defined = values[np.isfinite(values)]
    deviations: Floats = values - (defined.mean() if len(defined) else np.nan)
    return deviations


def _concatenate(blocks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


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


def _resampled_gains(metric: str, samples: Sequence[Sample], draws: Draws) -> dict[str, Floats]:
    return {metric: _resampled_gain(samples[0], samples[1], metric, draws)}


def _resampled_gain(sample: Sample, other: Sample, metric: str, draws: Draws) -> Floats:
    first, second = (compute_resampled_metrics(each, draws, metric)[metric] for each in (sample, other))
    return second - first if lower_is_better(metric) else first - second
