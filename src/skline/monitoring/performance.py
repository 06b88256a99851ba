"""Metrics on matured labels, with intervals by row or by entity, and reweighted where labels are missing.

Labels that arrive late, or only for reviewed predictions, are no random sample. If whether a row has a label depends on
its score alone, weighting each labelled row by rows / labelled rows of its band of scores makes the labelled rows
represent all (post-stratification; Holt and Smith 1979). It cannot repair labels that are missing because of their
value. A random sample for review can: its rows were drawn whatever their score and label, with one probability in each
period, and are weighted by its inverse (Horvitz and Thompson 1952); labels of other rows are left out.

The bootstrap draws all rows, unlabelled ones too, and computes the weights anew, so that the interval covers the
randomness of the weights; by entity it draws whole entities (Cameron, Gelbach and Miller 2008).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from skline.evaluation.bootstrap import percentile_interval
from skline.evaluation.metric_values import compute_resampled_metrics
from skline.evaluation.resampling import Draws, Sample
from skline.monitoring.checks import Check
from skline.monitoring.clusters import Codes, Floats, compact
from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.label_results import CalibrationBin, Coverage, MetricResult, Performance
from skline.monitoring.loss import ComparedRows, is_worse, is_worse_than_reference

#: Bands of equal count by score within which labels are weighted.
BANDS = 20
#: Rows that a weighted draw has for each labelled row: weights are rounded to as many copies.
COPIES = 4
#: Rows of a draw at most.
MAX_DRAW = 200_000
#: Bins of the calibration curve.
CALIBRATION_BINS = 10
#: Labels of the review sample on average in each period whose probability of inclusion is estimated.
PERIOD_LABELS = 20
#: Metrics whose resamples need independent rows; a reweighted or clustered draw repeats rows.
UNCLUSTERED = ("ece",)


def score_bands(scores: Floats, bands: int = BANDS) -> Codes:
    """Return the band of each score, from 0 on; bands have about equal counts, and equal scores one band."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bands + 1)[1:-1])) if len(scores) else scores
    codes: Codes = np.searchsorted(edges, scores, side="right").astype(np.int64)
    return codes


def band_coverage(scores: Floats, labelled: npt.NDArray[np.bool_], bands: int = CALIBRATION_BINS) -> list[Coverage]:
    """Return rows and labelled rows by band of scores."""
    codes = score_bands(scores, bands)
    return [
        Coverage(
            low=float(scores[codes == code].min()),
            high=float(scores[codes == code].max()),
            rows=int((codes == code).sum()),
            labelled=int(labelled[codes == code].sum()),
        )
        for code in np.unique(codes)
    ]


def metric_estimates(
    sample: Sample,
    labelled: npt.NDArray[np.bool_],
    strata: Codes | None,
    entities: Codes | None,
    n_resamples: int,
    seed: int,
    only: str | None = None,
) -> dict[str, Estimate]:
    """Return each metric of the task, or `only` one, with its 95 % interval.

    Parameters
    ----------
    sample : Sample
        The labelled rows, in the order of the rows.
    labelled : bool array, shape (n,)
        Which of all n rows they are.
    strata : int64 array, shape (n,), or None
        Within a stratum the labelled rows represent all; None: labelled rows are not weighted.
    entities : int64 array, shape (n,), or None
    n_resamples, seed : int
    only : str, optional
        The one metric to compute.
    """
    leave_out = UNCLUSTERED if strata is not None or entities is not None else ()
    # One draw at a time: all together they take gigabytes.
    itself, *resampled = (
        compute_resampled_metrics(sample, draws, only, leave_out)
        for draws in draw_weighted(labelled, strata, entities, n_resamples, seed)
    )
    values = {name: float(each[0]) for name, each in itself.items()}
    result = {}
    for name, value in values.items():
        ends = percentile_interval(np.array([each[name][0] for each in resampled])) if resampled else None
        result[name] = estimate(value, *(ends or (None, None)))
    return result


def draw_weighted(
    labelled: npt.NDArray[np.bool_], strata: Codes | None, entities: Codes | None, n_resamples: int, seed: int
) -> Iterator[Draws]:
    """Yield the sample itself, then resamples, as row numbers among the labelled rows, each of shape (1, some).

    A row's weight becomes its number of copies, by systematic sampling from a random start, which rounds least.
    """
    random = np.random.default_rng(seed)
    n = len(labelled)
    groups = np.arange(n) if entities is None else compact(entities)
    n_groups = int(groups.max(initial=-1)) + 1
    positions = np.flatnonzero(labelled)
    ones = np.ones(n)
    for number in range(n_resamples + 1):
        counts = (
            ones if number == 0 else np.bincount(random.integers(0, n_groups, n_groups), minlength=n_groups)[groups]
        )
        if strata is None:
            yield np.repeat(np.arange(len(positions)), counts[positions].astype(np.intp))[None, :]
            continue
        weights = _weights(counts.astype(np.float64), positions, strata)
        size = min(COPIES * len(positions), MAX_DRAW)
        cumulative = np.cumsum(weights)
        if cumulative[-1] <= 0:
            yield np.arange(len(positions), dtype=np.intp)[None, :]
            continue
        yield _draw_systematically(cumulative, random.random(), size)[None, :]


def inclusion_periods(sampled: npt.NDArray[np.bool_]) -> Codes:
    """Return the period of each row, within which rows were drawn for review with one probability.

    The log does not hold the probability, which is a setting and may change: in each of the periods, of equal count
    of rows, the share of drawn rows estimates it.

    Parameters
    ----------
    sampled : bool array, shape (n,)
        Which rows were drawn and have a label, in the order of time.
    """
    n = len(sampled)
    periods = max(int(sampled.sum()) // PERIOD_LABELS, 1)
    return np.arange(n, dtype=np.int64) * periods // max(n, 1)


def uncovered_share(labelled: npt.NDArray[np.bool_], strata: Codes) -> float:
    """Return the share of the rows in strata without any labelled row."""
    known = np.bincount(strata, weights=labelled)
    return float((known[strata] == 0).mean()) if len(strata) else 0.0


def calibration_curve(truth: npt.NDArray[np.bool_], scores: Floats) -> list[CalibrationBin]:
    """Return mean score and rate of positives in bins of equal count."""
    codes = score_bands(scores, CALIBRATION_BINS)
    return [
        CalibrationBin(
            score=float(scores[codes == code].mean()),
            rate=float(truth[codes == code].mean()),
            rows=int((codes == code).sum()),
        )
        for code in np.unique(codes)
    ]


def performance_checks(performance: Performance, margin: float, min_labels: int) -> list[Check]:
    """Return a check for each floor, and one for the loss of the main metric against the test part.

    A floor is exceeded if the whole interval lies beyond it, the value on the test part less the margin if that of the
    difference does.
    """
    checks, rows = [], ComparedRows.of(performance)
    for metric in performance.metrics:
        limits = {} if metric.floor is None else {"floor": metric.floor}
        reference = metric.reference.value
        if metric.name == performance.metric and reference is not None:
            limits["reference"] = reference - margin if metric.better == "higher" else reference + margin
        for rule, limit in limits.items():
            raised = None
            if performance.labelled >= min_labels:
                raised = is_worse(metric, limit) if rule == "floor" else is_worse_than_reference(metric, margin, rows)
            checks.append(_limit_check(metric, rule, raised, limit, performance.labelled))
        if "reference" in limits and performance.sampled >= min_labels:
            sample = metric.model_copy(update={"estimate": metric.sampled})
            raised = is_worse_than_reference(sample, margin)
            checks.append(_limit_check(sample, "review_sample", raised, limits["reference"], performance.sampled))
    if not checks:
        enough = performance.labelled >= min_labels
        checks = [
            Check(
                part="performance", rule="reference", subject=performance.metric, raised=False if enough else None,
                rows=performance.labelled,
            )
        ]  # fmt: skip
    return checks


def _limit_check(metric: MetricResult, rule: str, raised: bool | None, limit: float, rows: int) -> Check:
    message = ""
    if raised:
        is_gain = metric.better == "higher"
        bound, sign = ("floor", "less") if is_gain else ("maximum", "plus")
        against = f"its {bound}" if rule == "floor" else f"that of the test part {sign} the margin"
        worse = "below" if is_gain else "above"
        where = " of the review sample" if rule == "review_sample" else ""
        message = f"{metric.label}{where} is {metric.estimate.value or 0.0:.4g}, {worse} {limit:.4g}, {against}"
    return Check.of(
        metric.estimate, part="performance", rule=rule, subject=metric.name, raised=raised, limit=limit, rows=rows,
        message=message,
    )  # fmt: skip


def _draw_systematically(cumulative: Floats, start: float, size: int) -> npt.NDArray[np.intp]:
    """Return `size` row numbers, ascending: those whose weights hold equidistant points of the cumulative weights.

    `start` is the place of the first point, between 0 and 1 steps.
    """
    points = (start + np.arange(size)) * (cumulative[-1] / size)
    ends = np.searchsorted(points, cumulative)  # of the points before the end of each row
    ends[-1] = size
    return np.repeat(np.arange(len(cumulative)), np.diff(ends, prepend=0))


def _weights(counts: Floats, labelled: npt.NDArray[np.intp], strata: Codes) -> Floats:
    """Return the weight of each labelled row: its count, by the share of labelled rows of its stratum.

    `labelled` are their positions among all rows.
    """
    size = int(strata.max(initial=-1)) + 1
    own, own_counts = strata[labelled], counts[labelled]
    rows = np.bincount(strata, weights=counts, minlength=size)
    known = np.bincount(own, weights=own_counts, minlength=size)
    factor = np.divide(rows, known, out=np.zeros(size), where=known > 0)
    weights: Floats = own_counts * factor[own]
    return weights
