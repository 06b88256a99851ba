"""Prediction bias by arm: the mean score less the mean label, and the share that is predicted positive."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skline.monitoring.checks import Check, is_beyond
from skline.monitoring.clusters import Codes, Floats
from skline.monitoring.estimates import Estimate, finite, mean_estimate, share_estimate
from skline.monitoring.label_results import ArmResult


def arm_result(
    arm: str,
    scores: Floats,
    truth: Floats,
    positive: npt.NDArray[np.bool_] | None,
    entities: Codes | None,
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
    """
    known = np.isfinite(truth)
    return ArmResult(
        arm=arm,
        rows=len(scores),
        labelled=int(known.sum()),
        positive_rate=Estimate() if positive is None else share_estimate(positive, entities),
        bias=mean_estimate((scores - truth)[known], None if entities is None else entities[known]),
        mean_score=finite(float(scores.mean())) if len(scores) else None,
        mean_label=finite(float(truth[known].mean())) if known.any() else None,
    )


def bias_checks(arms: Sequence[ArmResult], margin: float, min_labels: int) -> list[Check]:
    """Return a check for each arm: the whole interval of the bias lies beyond the margin."""
    checks = []
    for arm in arms:
        raised = is_beyond(arm.bias, minimum=-margin, maximum=margin) if arm.labelled >= min_labels else None
        message = ""
        if raised:
            message = (
                f"{arm.arm} predicts {arm.mean_score or 0.0:.3g} on average where {arm.mean_label or 0.0:.3g} came true"
            )
        checks.append(
            Check.of(
                arm.bias, part="bias", rule="bias", subject=arm.arm, raised=raised, limit=margin, rows=arm.labelled,
                message=message,
            )
        )  # fmt: skip
    return checks
