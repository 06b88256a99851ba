"""The parts of a window's result about labels, each from rows and a reference; no part reads a file or a clock."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.contract.spec import Contract
from skline.evaluation.bootstrap import metric_value, metric_values
from skline.evaluation.metrics import DEFAULT_METRIC, metrics_of
from skline.evaluation.resampling import BinarySample, MulticlassSample, RegressionSample, Sample
from skline.evaluation.segments import segment_text
from skline.logs.records import REVIEW_SAMPLE, from_us, to_us
from skline.monitoring import bias, cbpe, concept, kpis, performance
from skline.monitoring.clusters import Codes, Floats, entity_count
from skline.monitoring.estimates import Estimate, mean_difference
from skline.monitoring.label_results import (
    ArmResult,
    Concept,
    CurvePoint,
    EstimatedMetric,
    MetricResult,
    Performance,
    ResidualDrift,
    SegmentResult,
)
from skline.monitoring.reference import TrainingReference
from skline.monitoring.result import KpiResult
from skline.monitoring.rows import LoggedRows
from skline.settings.monitor import Monitor

#: Maximum number of reported segments of a column: the largest.
MAX_SEGMENTS = 12
#: Periods of the prequential curve.
CURVE_POINTS = 20
#: Resamples for a segment: fewer than for all rows, because there are many segments.
SEGMENT_RESAMPLES = 100
SEED = 17


def to_sample(rows: LoggedRows, contract: Contract, threshold: float) -> Sample:
    """Return labelled rows in the form from which metrics are computed."""
    if contract.task == "regression" or rows.probabilities is None:
        return RegressionSample(rows.truth, rows.predicted)
    if contract.task == "binary":
        return BinarySample(rows.truth == 1, rows.scores, threshold)
    classes = np.arange(rows.probabilities.shape[1], dtype=np.float64)
    return MulticlassSample(rows.truth, rows.probabilities, classes)


def describe_performance(
    rows: LoggedRows, contract: Contract, reference: TrainingReference, settings: Monitor, floors: Mapping[str, float],
    bounds: tuple[dt.datetime, dt.datetime],
) -> Performance:  # fmt: skip
    """Compute the metrics of matured predictions.

    Parameters
    ----------
    rows : LoggedRows
        All matured predictions, those without a label too.
    floors : mapping of str to float
    bounds : (datetime, datetime)
        Of the predictions' times.
    """
    metric = reference.metric or DEFAULT_METRIC[contract.task]
    labelled, strata = rows.labelled, performance.score_bands(rows.scores)
    known = rows.take(labelled)
    weighted = bool(len(rows)) and 0 < labelled.mean() < settings.performance.full_coverage
    drawn = labelled & (rows.reviews == REVIEW_SAMPLE)
    metrics: list[MetricResult] = []
    calibration, curve = [], []
    if _has_metrics(known, contract):
        metrics = metric_results(rows, strata if weighted else None, drawn, contract, reference, settings, floors)
        if contract.task == "binary":
            calibration = performance.calibration_curve(known.truth == 1, known.scores)
        curve = prequential_curve(known, contract, reference.threshold, metric)
    return Performance(
        start=bounds[0],
        end=bounds[1],
        metric=metric,
        rows=len(rows),
        labelled=len(known),
        weighted=weighted,
        uncovered=performance.uncovered_share(labelled, strata) if weighted else 0.0,
        entities=entity_count(rows.entities),
        sampled=int(drawn.sum()),
        test_rows=reference.test_rows,
        metrics=tuple(metrics),
        segments=tuple(segment_results(rows, contract, reference.threshold, metric, settings.performance.min_labels)),
        bands=tuple(performance.band_coverage(rows.scores, labelled)) if len(rows) else (),
        calibration=tuple(calibration),
        curve=tuple(curve),
    )


def metric_results(
    rows: LoggedRows, strata: Codes | None, drawn: npt.NDArray[np.bool_], contract: Contract,
    reference: TrainingReference, settings: Monitor, floors: Mapping[str, float],
) -> list[MetricResult]:  # fmt: skip
    """Return each metric of the labelled rows, which must be of two classes at least.

    Parameters
    ----------
    rows : LoggedRows
        Those without a label too.
    strata : int64 array, shape (n,), or None
        Within which labelled rows represent all; None: they are not weighted.
    drawn : bool array, shape (n,)
        Labelled rows that were drawn for review at random.
    """
    sample = to_sample(rows.take(rows.labelled), contract, reference.threshold)
    plain, n_resamples = metric_values(sample), settings.performance.resamples
    estimates = performance.metric_estimates(sample, rows.labelled, strata, rows.entities, n_resamples, SEED)
    sampled = review_sample_estimates(rows, drawn, contract, reference.threshold, n_resamples)
    return [
        MetricResult(
            name=each.name,
            label=each.label,
            better=each.better,
            estimate=estimates[each.name],
            sampled=sampled.get(each.name, Estimate()),
            unweighted=plain[each.name] if np.isfinite(plain[each.name]) else None,
            reference=reference.metric_estimate(each.name),
            floor=floors.get(each.name),
        )
        for each in metrics_of(contract.task)
        if each.name in estimates
    ]


def _has_metrics(known: LoggedRows, contract: Contract) -> bool:
    """Whether labelled rows are enough for metrics: two at least, of a classifier of more than one class."""
    return len(known) >= 2 and (contract.task == "regression" or len(np.unique(known.truth)) > 1)


def review_sample_estimates(
    rows: LoggedRows, drawn: npt.NDArray[np.bool_], contract: Contract, threshold: float, n_resamples: int
) -> dict[str, Estimate]:
    """Return the metrics of the labelled rows that were drawn for review at random; empty if there are too few."""
    known = rows.take(drawn)
    if not _has_metrics(known, contract):
        return {}
    sample = to_sample(known, contract, threshold)
    periods = performance.inclusion_periods(drawn)
    return performance.metric_estimates(sample, drawn, periods, rows.entities, n_resamples, SEED)


def prequential_curve(known: LoggedRows, contract: Contract, threshold: float, metric: str) -> list[CurvePoint]:
    """Return the metric of periods of equal count, in the order of time; those without a value are left out."""
    points = []
    for part in np.array_split(np.arange(len(known)), min(CURVE_POINTS, max(len(known) // 50, 1))):
        chosen = known.take(part)
        value = metric_value(to_sample(chosen, contract, threshold), metric) if len(part) > 1 else float("nan")
        if np.isfinite(value):
            points.append(CurvePoint(start=from_us(int(chosen.times[0])), rows=len(part), value=value))
    return points


def segments_of(rows: LoggedRows, contract: Contract) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Yield column, value and rows of the largest segments of each segment column that is an input."""
    for column in contract.segments:
        values = rows.inputs.get(column.name)
        if values is None or not len(values):
            continue
        names, codes = _segment_codes(values)
        counts = np.bincount(codes, minlength=len(names))
        for number in np.argsort(-counts, kind="stable")[:MAX_SEGMENTS]:
            yield column.name, names[number], codes == number


def _segment_codes(values: npt.NDArray[Any]) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Return the texts of all segments in alphabetical order, and the number of each row's segment, shape (n,)."""
    import pandas as pd

    numbers, uniques = pd.factorize(values, use_na_sentinel=False)
    names, merged = np.unique(np.array([segment_text(value) for value in uniques.tolist()]), return_inverse=True)
    return names.tolist(), merged[numbers]


def segment_results(
    rows: LoggedRows, contract: Contract, threshold: float, metric: str, min_labels: int
) -> list[SegmentResult]:
    """Return rows, labels and the metric of each segment that has enough labels."""
    results = []
    for column, value, members in segments_of(rows, contract):
        part = rows.take(members)
        labelled = part.labelled
        known = part.take(labelled)
        result = SegmentResult(column=column, value=value, rows=len(part), labelled=len(known))
        if len(known) >= min_labels:
            sample = to_sample(known, contract, threshold)
            everything = np.ones(len(known), dtype=bool)
            estimates = performance.metric_estimates(
                sample, everything, None, known.entities, SEGMENT_RESAMPLES, SEED, only=metric
            )
            result = result.model_copy(update={"estimate": estimates.get(metric, result.estimate)})
        results.append(result)
    return results


def describe_concept(stream: LoggedRows, start: dt.datetime, contract: Contract, settings: Monitor) -> Concept:
    """Look for rises of the error in the stream of labelled rows, and compare the residuals of segments.

    Parameters
    ----------
    stream : LoggedRows
        Labelled rows of several windows, in the order of time.
    start : datetime
        Of the newest window; earlier rises are counted only.
    """
    errors = row_errors(stream, contract)
    detections = concept.detect_rises(concept.bounded_errors(errors), settings.concept.delta)
    new = stream.times >= to_us(start)
    recent = [each for each in detections if new[each.position]]
    last = recent[-1] if recent else None
    residuals = []
    for column, value, members in segments_of(stream, contract):
        now, before = members & new, members & ~new
        if min(now.sum(), before.sum()) >= settings.performance.min_labels:
            entities = [None if stream.entities is None else stream.entities[each] for each in (now, before)]
            difference = mean_difference(errors[now], errors[before], *entities)
            residuals.append(ResidualDrift(column=column, value=value, rows=int(now.sum()), difference=difference))
    return Concept(
        labels=len(stream),
        detected_at=None if last is None else from_us(int(stream.times[last.position])),
        before=None if last is None else last.before,
        after=None if last is None else last.after,
        detections=len(detections),
        residuals=tuple(residuals),
    )


def row_errors(rows: LoggedRows, contract: Contract) -> Floats:
    """Return the error of each labelled row, float64 of shape (n,).

    The squared error of the probability (binary), 0 or 1 (multiclass), or the absolute error (regression).
    """
    if contract.task == "binary":
        squares: Floats = (rows.scores - rows.truth) ** 2
        return squares
    if contract.task == "multiclass":
        wrong: Floats = (rows.predicted != rows.truth).astype(np.float64)
        return wrong
    errors: Floats = np.abs(rows.predicted - rows.truth)
    return errors


def estimate_metrics(
    rows: LoggedRows, contract: Contract, reference: TrainingReference, min_rows: int
) -> list[EstimatedMetric]:
    """Estimate the metrics of a binary classifier without labels; empty with fewer than `min_rows` rows."""
    if contract.task != "binary" or len(rows.scores) < min_rows:
        return []
    return cbpe.estimate_binary(rows.scores, reference.threshold, SEED)


def arm_results(rows: LoggedRows, contract: Contract) -> list[ArmResult]:
    """Return the figures of each arm; empty with more than two classes, for which there is no bias."""
    if contract.task == "multiclass":
        return []
    positive = rows.predicted == 1 if contract.task == "binary" else None
    results = []
    for arm in sorted(set(rows.arms.tolist())):
        members = rows.arms == arm
        results.append(
            bias.arm_result(
                arm,
                rows.scores[members],
                rows.truth[members],
                None if positive is None else positive[members],
                None if rows.entities is None else rows.entities[members],
            )
        )
    return results


def kpi_results(rows: LoggedRows, contract: Contract, settings: Monitor) -> list[KpiResult]:
    """Return the cost and the figures that params name: for all rows, by arm and by segment."""
    if settings.costs is None and not settings.kpis:
        return []
    groups: list[tuple[str | None, str | None, npt.NDArray[np.bool_]]] = [(None, None, np.ones(len(rows), dtype=bool))]
    arms = sorted(set(rows.arms.tolist()))
    groups += [(arm, None, rows.arms == arm) for arm in arms] if len(arms) > 1 else []
    groups += [(None, f"{column}={value}", members) for column, value, members in segments_of(rows, contract)]
    columns: dict[str, Any] = {
        **rows.inputs, "prediction": rows.predicted, "score": rows.scores, "label": rows.truth,
    }  # fmt: skip
    if contract.task == "binary":
        columns |= {"prediction": rows.predicted == 1, "label": rows.truth == 1}
    elif contract.classes is not None:
        names = np.array([*(contract.class_names or ()), None], dtype=object)
        columns |= {
            name: names[np.where(np.isfinite(values), values, len(names) - 1).astype(int)]
            for name, values in (("prediction", rows.predicted), ("label", rows.truth))
        }
    results = []
    if settings.costs is not None and contract.classes is not None:
        codes = [np.where(np.isfinite(each), each, -1).astype(np.int64) for each in (rows.truth, rows.predicted)]
        figures = kpis.cost_of(codes[0], codes[1], settings.costs)
        known = np.isfinite(figures)
        results += [
            kpis.mean_kpi(kpis.COST, "", figures, known & members, rows.entities, arm, segment)
            for arm, segment, members in groups
        ]
    for kpi in settings.kpis:
        results += kpis.evaluate_kpi(kpi, columns, rows.labelled, groups, rows.entities)
    return results
