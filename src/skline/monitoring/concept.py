"""Changes in the stream of errors: ADWIN, and residuals by segment.

ADWIN (Bifet and Gavaldà 2007, "Learning from time-changing data with adaptive windowing") keeps a window of the latest
errors and cuts it where the means of both parts differ by more than chance allows. A rise of the error is a detection;
a fall is not.
"""

from typing import Any, NamedTuple

import numpy as np

from skline.monitoring.checks import Check
from skline.monitoring.clusters import Floats
from skline.monitoring.label_results import Concept, Performance
from skline.monitoring.loss import ComparedRows, is_worse_than_reference

#: ADWIN looks for a cut at each of so many errors.
CLOCK = 32


class Detection(NamedTuple):
    """A rise of the error: the position at which it was noticed, and the means before and after it."""

    position: int
    before: float
    after: float


def detect_rises(errors: Floats, delta: float) -> list[Detection]:
    """Return the rises of the mean error of a stream.

    Parameters
    ----------
    errors : float64 array, shape (n,)
        Between 0 and 1, in the order of time.
    delta : float
        Probability of a false detection at a cut.
    """
    from river.drift import ADWIN

    detector: Any = ADWIN(delta=delta, clock=CLOCK)  # type: ignore[no-untyped-call]
    detections = []
    before = 0.0
    for position, error in enumerate(errors.tolist()):
        is_checked = not (position + 1) % CLOCK
        if is_checked:
            before = detector.estimation
        detector.update(error)
        if is_checked and detector.drift_detected and detector.estimation > before:
            detections.append(Detection(position, float(before), float(detector.estimation)))
    return detections


def bounded_errors(errors: Floats) -> Floats:
    """Scale errors to the range from 0 to 1, which ADWIN needs: absolute errors by their 99th percentile."""
    if not len(errors) or errors.max() <= 1:
        return errors
    scaled: Floats = np.minimum(errors / max(float(np.quantile(errors, 0.99)), 1e-12), 1)
    return scaled


def concept_check(concept: Concept, performance: Performance, min_labels: int) -> Check:
    """Return the check of the stream of errors.

    It leads to an alarm if the main metric's interval agrees, which is worse than on the test part; with too few labels
    to tell, to a warning. A detection that the interval contradicts is reported and raises nothing.
    """
    if not concept.labels:
        return Check(part="concept", rule="adwin", subject="errors", raised=None, rows=0)
    metric = next((each for each in performance.metrics if each.name == performance.metric), None)
    agrees = None
    if metric is not None and performance.labelled >= min_labels and metric.reference.value is not None:
        agrees = is_worse_than_reference(metric, rows=ComparedRows.of(performance))
    fired = concept.detected_at is not None
    message = ""
    if fired:
        message = f"the mean error rose from {concept.before:.3g} to {concept.after:.3g}"
        message += {
            True: "",
            False: ", and the metric does not confirm it",
            None: ", with too few labels to confirm it",
        }[agrees]
    return Check(
        part="concept", rule="adwin", subject="errors", raised=fired and agrees is not False,
        severity="alarm" if agrees else "warning", value=concept.after, limit=concept.before, rows=concept.labels,
        message=message,
    )  # fmt: skip
