"""Figures with their 95 % intervals: means by the normal distribution, shares by Wilson's interval.

Rows of one entity are not independent: intervals are those of the effective rows (`skline.monitoring.clusters`).
"""

import math

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from skline.evaluation.intervals import Z95, wilson_interval
from skline.monitoring.clusters import Codes, Floats, design_effect


class ResultPart(BaseModel):
    """Base of the parts of a result: immutable, closed, and without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(ResultPart):
    """A figure with its interval; all None where there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


def finite(value: float | None) -> float | None:
    """Return a number as a float; None for NaN, infinity and None."""
    return None if value is None or not math.isfinite(value) else float(value)


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    """Return an estimate; numbers that are not finite become None."""
    return Estimate(value=finite(value), low=finite(low), high=finite(high))


def normal_estimate(value: float, variance: float) -> Estimate:
    """Return a figure with its normal interval; `variance` is that of the figure."""
    half_width = Z95 * math.sqrt(variance)
    return estimate(value, value - half_width, value + half_width)


def mean_estimate(values: Floats, entities: Codes | None) -> Estimate:
    """Return the mean of an array of shape (n,); empty for fewer than two values."""
    return Estimate() if len(values) < 2 else normal_estimate(float(values.mean()), _variance_of_mean(values, entities))


def mean_difference(
    values: Floats, reference: Floats, entities: Codes | None, reference_entities: Codes | None
) -> Estimate:
    """Return the difference of the means of two arrays; empty if one has fewer than two values."""
    if min(len(values), len(reference)) < 2:
        return Estimate()
    variance = _variance_of_mean(values, entities) + _variance_of_mean(reference, reference_entities)
    return normal_estimate(float(values.mean() - reference.mean()), variance)


def share_estimate(flags: npt.NDArray[np.bool_], entities: Codes | None = None) -> Estimate:
    """Return the share of rows that are flagged, with its Wilson interval on effective rows.

    Parameters
    ----------
    flags : bool array, shape (n,)
    entities : int64 array, shape (n,), optional
        The entity of each row.
    """
    if not len(flags):
        return Estimate()
    return wilson(float(flags.mean()), len(flags) / design_effect(flags.astype(np.float64), entities))


def wilson(share: float, rows: float) -> Estimate:
    """Return a share of `rows` independent rows with its Wilson interval."""
    return estimate(share, *wilson_interval(share, rows))


def _variance_of_mean(values: Floats, entities: Codes | None) -> float:
    return float(values.var(ddof=1)) / len(values) * design_effect(values, entities)
