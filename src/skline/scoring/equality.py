"""Whether two scorings are equal: to the last bit, or within a few units in the last place."""

from collections.abc import Mapping, Sequence

import numpy as np

from skline.contract.spec import Value
from skline.scoring.answers import Exactness, FloatArray, Scores
from skline.scoring.plan import Plan

#: Units in the last place by which an "ulp" plan may differ from the pipeline asked row by row.
ULPS = 4


def one_row(plan: Plan, row: Mapping[str, Value]) -> Scores:
    """The row plan's answer as arrays."""
    prediction, chances = plan.score_row(row)
    dtype = None if plan.classes is None else plan.classes.dtype
    return Scores(np.array([prediction], dtype=dtype), None if chances is None else np.array([chances]))


def joined(scores: Sequence[Scores]) -> Scores:
    """Rows scored one by one, as one batch."""
    chances = [one.probabilities for one in scores if one.probabilities is not None]
    return Scores(
        np.concatenate([one.predictions for one in scores]),
        np.concatenate(chances) if chances else None,
    )


def equal(expected: Scores | None, found: Scores | None, exactness: Exactness) -> bool:
    """Whether two scorings are equal: to the bit, or classes equal and numbers within ULPS."""
    if expected is None or found is None:
        return expected is found
    if (expected.probabilities is None) != (found.probabilities is None):
        return False
    numeric = expected.probabilities is None
    if not numeric and expected.predictions.tolist() != found.predictions.tolist():
        return False
    if numeric and not same(expected.predictions, found.predictions, exactness):
        return False
    return expected.probabilities is None or (
        found.probabilities is not None and same(expected.probabilities, found.probabilities, exactness)
    )


def same(expected: FloatArray, found: FloatArray, exactness: Exactness) -> bool:
    """Whether float64 arrays hold the same bits, or differ by at most ULPS; NaN equals NaN."""
    if expected.shape != found.shape:
        return False
    if exactness == "bits":
        return expected.tobytes() == np.ascontiguousarray(found, dtype=expected.dtype).tobytes()
    both_nan = np.isnan(expected) & np.isnan(found)
    with np.errstate(invalid="ignore"):
        near = np.abs(expected - found) <= ULPS * np.spacing(np.abs(expected))
    return bool(np.all(both_nan | near | (expected == found)))
