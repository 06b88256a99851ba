"""Compare two sets of scores: equal to the last bit, or within a few units in the last place."""

from collections.abc import Mapping, Sequence

import numpy as np

from skline.contract.spec import Value
from skline.scoring.plan import Plan
from skline.scoring.scores import Exactness, FloatArray, Scores

#: Units in the last place by which an "ulp" plan may differ from the pipeline called row by row, and that from
#: itself, a relative difference of 1.4e-14. The mean of 1,000 trees added in another order differs by up to 28.
MAX_ULPS = 64


def describe_exactness(exactness: Exactness) -> str:
    """Return how equal scores are, as the end of a sentence."""
    return "to the last bit" if exactness == "bits" else "to 13 digits (the order of additions differs)"


def scores_equal(expected: Scores | None, actual: Scores | None, exactness: Exactness) -> bool:
    """Return whether two sets of scores are equal.

    For "bits" every number has the same bits. For "ulp" classes are equal and numbers differ by at most MAX_ULPS.
    None stands for an input that was rejected, and equals None alone.
    """
    if expected is None or actual is None:
        return expected is actual
    if (expected.probabilities is None) != (actual.probabilities is None):
        return False
    are_numbers = expected.probabilities is None and expected.predictions.dtype.kind == "f"
    if are_numbers and not arrays_equal(expected.predictions, actual.predictions, exactness):
        return False
    if not are_numbers and expected.predictions.tolist() != actual.predictions.tolist():
        return False
    return expected.probabilities is None or (
        actual.probabilities is not None and arrays_equal(expected.probabilities, actual.probabilities, exactness)
    )


def arrays_equal(expected: FloatArray, actual: FloatArray, exactness: Exactness) -> bool:
    """Return whether float64 arrays hold the same bits, or differ by at most MAX_ULPS; NaN equals NaN."""
    if expected.shape != actual.shape:
        return False
    if exactness == "bits":
        return expected.tobytes() == np.ascontiguousarray(actual, dtype=expected.dtype).tobytes()
    both_nan = np.isnan(expected) & np.isnan(actual)
    with np.errstate(invalid="ignore"):
        close = np.abs(expected - actual) <= MAX_ULPS * np.spacing(np.abs(expected))
    return bool(np.all(both_nan | close | (expected == actual)))


def score_single_row(plan: Plan, row: Mapping[str, Value]) -> Scores:
    """Score one row with the row plan, and return arrays of length one."""
    prediction, probabilities = plan.score_row(row)
    dtype = None if plan.classes is None else plan.classes.dtype
    return Scores(np.array([prediction], dtype=dtype), None if probabilities is None else np.array([probabilities]))


def concatenate(scores: Sequence[Scores]) -> Scores:
    """Join scores of single rows or batches into those of one batch."""
    probabilities = [part.probabilities for part in scores if part.probabilities is not None]
    return Scores(
        np.concatenate([part.predictions for part in scores]),
        np.concatenate(probabilities) if probabilities else None,
    )
