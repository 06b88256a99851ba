"""Whether a metric is worse than a limit, or than on the test part.

The value on the test part is an estimate as well: a model is worse than there if the interval of the difference of both
values, from both intervals, is beyond the margin (Zou and Donner 2008, "Construction of confidence limits about effect
measures: a general approach").

The interval of a test part that holds few of the rare large errors is too narrow just when its value is too good. If
nothing has changed, the labels of the window are of the same distribution, and show how far a value of as many rows
strays. As in tests of hypotheses, the error of the test part is therefore taken from both samples, pooled by their rows
(Miettinen and Nurminen 1985, "Comparative analysis of two rates"; Hall and Wilson 1991, "Two guidelines for bootstrap
hypothesis testing"), and is never less than its own interval says.
"""

import math
from typing import Literal, NamedTuple

from skline.monitoring.checks import is_beyond
from skline.monitoring.estimates import Estimate
from skline.monitoring.label_results import MetricResult, Performance

Better = Literal["higher", "lower"] | None


class ComparedRows(NamedTuple):
    """How many independent rows of equal weight a value is computed from, and the one that it is compared with."""

    now: int
    reference: int

    @classmethod
    def of(cls, performance: Performance) -> "ComparedRows | None":
        """Return the labelled rows and those of the test part; None if rows are weighted, of entities, or unknown."""
        if performance.weighted or performance.entities is not None or not performance.test_rows:
            return None
        return cls(performance.labelled, performance.test_rows)


def is_worse(metric: MetricResult, limit: float) -> bool | None:
    """Whether the whole interval of a metric is worse than a limit; None if the metric has no interval."""
    if metric.better == "higher":
        return is_beyond(metric.estimate, minimum=limit)
    return is_beyond(metric.estimate, maximum=limit)


def is_worse_than_reference(
    metric: MetricResult, margin: float = 0.0, rows: ComparedRows | None = None
) -> bool | None:  # fmt: skip
    """Whether a metric is worse than on the test part by more than a margin; see `is_worse_beyond_chance`."""
    return is_worse_beyond_chance(metric.estimate, metric.reference, metric.better, margin, rows)


def is_worse_beyond_chance(
    now: Estimate, reference: Estimate, better: Better, margin: float, rows: ComparedRows | None = None
) -> bool | None:
    """Whether a value is worse than another, independent one by more than a margin, beyond the chance in both.

    Parameters
    ----------
    now, reference : Estimate
        A reference without an interval is taken as exact.
    better : {"higher", "lower", None}
        None counts as lower.
    margin : float
    rows : ComparedRows, optional
        With them the error of the reference is taken from both samples; without them, from its interval.

    Returns
    -------
    bool, or None if the value has no interval, or there is no other one.
    """
    if now.value is None or now.low is None or now.high is None or reference.value is None:
        return None
    sign = 1 if better == "higher" else -1
    now_error, reference_error = _error(now, sign), _error(reference, -sign)
    if rows is not None and reference.low is not None:
        reference_error = max(reference_error, _pooled_error(reference_error, _error(now, -sign), rows))
    loss = sign * (reference.value - now.value)
    return loss - math.hypot(now_error, reference_error) > margin


def _error(estimate: Estimate, sign: int) -> float:
    """Return the distance of the upper (sign 1) or lower (-1) end of the interval from the value; 0 without an end."""
    end = estimate.high if sign > 0 else estimate.low
    return 0.0 if end is None or estimate.value is None else sign * (end - estimate.value)


def _pooled_error(reference_error: float, now_error: float, rows: ComparedRows) -> float:
    """Return the error of the reference if the rows of both samples have one variance, the mean of both by rows."""
    variance = (rows.reference**2 * reference_error**2 + rows.now**2 * now_error**2) / (rows.reference + rows.now)
    return math.sqrt(variance / rows.reference)
