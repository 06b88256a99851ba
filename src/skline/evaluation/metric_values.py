"""The values of the registered metrics on a sample and its resamples. One that is not a finite number is an error."""

import math
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skline.errors import SklineError
from skline.evaluation.metrics import Computation, computations
from skline.evaluation.resampling import Draws, Floats, Sample


def compute_metrics(sample: Sample) -> dict[str, float]:
    """Compute every metric of the sample's task.

    Raises
    ------
    SklineError
        Naming the metrics that are NaN or infinite.
    """
    values = {metric.name: float(computation.exact(sample)) for metric, computation in computations(sample.task)}
    broken = {name: value for name, value in values.items() if not math.isfinite(value)}
    if broken:
        raise SklineError(
            f"evaluate: {broken}: a metric must be a finite number; "
            "check for missing or infinite predictions, and for a test part with too few rows"
        )
    return values


def compute_resampled_metrics(
    sample: Sample, draws: Draws, only: str | None = None, leave_out: Collection[str] = ()
) -> dict[str, Floats]:
    """Compute metrics of many resamples at once.

    Parameters
    ----------
    sample : Sample
    draws : array of shape (n_resamples, n_drawn)
        Row numbers of each resample.
    only : str, optional
        The one metric to compute; default: every metric of the sample's task.
    leave_out : collection of str
        Metrics not to compute.

    Returns
    -------
    Metric → float64 of shape (n_resamples,); NaN where a resample has no value, such as an area of one class alone.
    """
    resamples = sample.resample(draws)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            metric.name: _one_by_one(computation, sample, draws)
            if computation.resampled is None
            else computation.resampled(resamples)
            for metric, computation in computations(sample.task)
            if only in (None, metric.name) and metric.name not in leave_out
        }


def closed_form_intervals(sample: Sample, confidence: float) -> dict[str, tuple[float, float] | None]:
    """Return the intervals of the metrics whose interval is no bootstrap; None for those that have none."""
    return {
        metric.name: None if computation.interval is None else computation.interval(sample, confidence)
        for metric, computation in computations(sample.task)
        if computation.interval != "bootstrap"
    }


def _one_by_one(computation: Computation[Any, Any], sample: Sample, draws: Draws) -> Floats:
    """Compute a metric that has no `resampled` function: call `exact` for each resample."""
    values = np.full(len(draws), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for index, rows in enumerate(draws):
            try:
                values[index] = computation.exact(sample.take(rows))
            except ValueError:
                continue
    return values
