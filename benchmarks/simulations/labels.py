"""Simulated labels: streams of errors that rise or do not, and labels that are late, biased, or reviewed at random."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.evaluation.resampling import BinarySample
from skline.monitoring.concept import detect_rises
from skline.monitoring.performance import inclusion_periods, metric_estimates, score_bands
from skline.settings.monitor import Monitor

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
SETTINGS = Monitor()
STEADY, RISEN = 0.10, 0.15
STEADY_LABELS, RISEN_LABELS = 10_000, 3_000
#: Rows of a window of seven days with one day for the labels to arrive, and rows from which the truth is computed.
ROWS, TRUTH_ROWS = 2_000, 2_000_000
#: Share of the predictions drawn for review before and after the middle of the window.
REVIEWED = (0.1, 0.3)


def errors(random: np.random.Generator) -> tuple[bool, bool]:
    """Return whether a rise of the error is found within 3,000 labels, and whether one is found in 10,000 before it."""
    steady, risen = (random.random(n) < share for n, share in ((STEADY_LABELS, STEADY), (RISEN_LABELS, RISEN)))
    stream = np.concatenate([steady, risen]).astype(np.float64)
    positions = [each.position for each in detect_rises(stream, SETTINGS.concept.delta)]
    return any(position >= STEADY_LABELS for position in positions), any(
        position < STEADY_LABELS for position in positions
    )


class Rows(NamedTuple):
    """Predictions in the order of time: score, true label, and whether the label is there or drawn for review."""

    scores: Floats
    truth: Flags
    labelled: Flags
    drawn: Flags


def draw_rows(random: np.random.Generator, rows: int, *, by_value: bool) -> Rows:
    """Draw predictions whose labels are there for a biased half of them.

    The labels are late (two days on average, and the newest prediction is a day old); most of them are of low scores,
    or with `by_value` of positive rows, such as complaints. Reviewed rows have their label in any case.
    """
    scores = random.beta(2, 4, rows)
    truth = random.random(rows) < scores**1.3
    age = np.linspace(8, 1, rows)
    arrived = random.exponential(2, rows) < age
    biased = np.where(truth, 0.9, 0.3) if by_value else np.where(scores < 0.33, 0.8, 0.2)
    drawn = random.random(rows) < np.where(np.arange(rows) < rows / 2, *REVIEWED)
    labelled = (arrived & (random.random(rows) < biased)) | (drawn if by_value else False)
    return Rows(scores, truth, labelled, drawn)


def brier_interval(rows: Rows, chosen: Flags, strata: Any, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the Brier score of some rows, weighted by strata."""
    sample = BinarySample(rows.truth[chosen], rows.scores[chosen], 0.5)
    resamples = SETTINGS.performance.resamples
    interval = metric_estimates(sample, chosen, strata, None, resamples, seed, only="brier")["brier"]
    return interval.low or 0.0, interval.high or 0.0


def true_brier(seed: int) -> float:
    """Return the Brier score of the population."""
    rows = draw_rows(np.random.default_rng(seed), TRUTH_ROWS, by_value=False)
    return float(((rows.scores - rows.truth) ** 2).mean())


#: Ways of measuring: whether labels are missing by their value, which rows are used, and their strata.
WAYS: dict[str, tuple[bool, Callable[[Rows], Flags], Callable[[Rows], Any]]] = {
    "labels late and for a biased half, reweighted by score": (
        False, lambda rows: rows.labelled, lambda rows: score_bands(rows.scores),
    ),
    "the same labels as they are": (False, lambda rows: rows.labelled, lambda _: None),
    "labels missing by their value, review sample reweighted by its inclusion probability": (
        True, lambda rows: rows.drawn, lambda rows: inclusion_periods(rows.drawn),
    ),
    "the same labels, all of them, reweighted by score": (
        True, lambda rows: rows.labelled, lambda rows: score_bands(rows.scores),
    ),
}  # fmt: skip


def covers(random: np.random.Generator, way: str, truth: float, seed: int) -> bool:
    """Return whether the interval of the Brier score of a simulated window holds the truth."""
    by_value, choose, stratify = WAYS[way]
    rows = draw_rows(random, ROWS, by_value=by_value)
    low, high = brier_interval(rows, choose(rows), stratify(rows), seed)
    return low <= truth <= high
