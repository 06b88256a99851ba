"""Prediction bias by arm: the mean score less the mean label, and the share that is predicted positive."""

import numpy as np
import numpy.typing as npt

from skline.monitoring.clusters import Codes, Floats, design_effect
from skline.monitoring.quality import share_estimate
from skline.monitoring.result import ArmResult, Check, Estimate, estimate, finite

Z95 = 1.959963984540054


def mean_estimate(values: Floats, entities: Codes | None) -> Estimate:
    """Return the mean with its normal interval, on effective rows; empty for fewer than two values."""
    if len(values) < 2:
        return Estimate()
    mean = float(values.mean())
    half_width = Z95 * float(np.sqrt(values.var(ddof=1) / len(values) * design_effect(values, entities)))
    return estimate(mean, mean - half_width, mean + half_width)


def arm_result(
    arm: str,
    scores: Floats,
    truth: Floats,
    positive: npt.NDArray[np.bool_] | None,
    entities: Codes | None,
    weights: Floats | None = None,
) -> ArmResult:
    """Return the figures of an arm.

    Parameters
    ----------
    arm : str
    scores : float64 array, shape (n,)
        Probability of the positive class, or predicted number.
    truth : float64 array, shape (n,)
        0 or 1, or the true number; NaN without a label.
    positive : bool array, shape (n,), or None
        Which rows are predicted positive; None if there is no positive class.
    entities : int64 array, shape (n,), or None
    weights : float64 array, shape (n,), optional
        Of the labelled rows: the inverse of their band's label coverage.
    """
    known = np.isfinite(truth)
    own = None if entities is None else entities[known]
    residuals = (scores - truth)[known]
    bias = mean_estimate(residuals, own) if weights is None else weighted_mean(residuals, weights[known], own)
    return ArmResult(
        arm=arm,
        rows=len(scores),
        labelled=int(known.sum()),
        positive_rate=Estimate() if positive is None else share_estimate(positive, entities),
        bias=bias,
        mean_score=finite(float(scores.mean())) if len(scores) else None,
        mean_label=finite(float(truth[known].mean())) if known.any() else None,
    )


def weighted_mean(values: Floats, weights: Floats, entities: Codes | None) -> Estimate:
    """Return the weighted mean with the interval of a ratio estimator (Horvitz and Thompson 1952; Hájek 1971)."""
    total = float(weights.sum())
    if len(values) < 2 or not total:
        return Estimate()
    mean = float((weights * values).sum() / total)
    parts = weights * (values - mean)
    variance = float((parts**2).sum()) / total**2 * design_effect(parts, entities)
    half_width = Z95 * float(np.sqrt(variance))
    return estimate(mean, mean - half_width, mean + half_width)


def bias_checks(arms: list[ArmResult], margin: float, min_labels: int) -> list[Check]:
    """Return a check for each arm: the whole interval of the bias lies beyond the margin."""
    checks = []
    for arm in arms:
        low, high = arm.bias.low, arm.bias.high
        raised = None
        if arm.labelled >= min_labels and low is not None and high is not None:
            raised = low > margin or high < -margin
        message = ""
        if raised:
            message = (
                f"{arm.arm} predicts {arm.mean_score or 0.0:.3g} on average where {arm.mean_label or 0.0:.3g} came true"
            )
        checks.append(
            Check(
                part="bias",
                rule="bias",
                subject=arm.arm,
                raised=raised,
                value=arm.bias.value,
                low=low,
                high=high,
                limit=margin,
                rows=arm.labelled,
                message=message,
            )
        )
    return checks
