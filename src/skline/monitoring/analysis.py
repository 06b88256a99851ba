"""The parts of a window's result, each from rows and a reference; no part reads a file or a clock."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.artifact import Artifact
from skline.contract.spec import Column, Contract
from skline.evaluation.bootstrap import metric_value, metric_values
from skline.evaluation.metrics import DEFAULT_METRIC, metrics_of
from skline.evaluation.resampling import BinarySample, MulticlassSample, RegressionSample, Sample
from skline.logs.records import REVIEW_SAMPLE, from_us, to_us
from skline.monitoring import bias, concept, drift, estimate, kpis, performance, quality
from skline.monitoring.clusters import Floats, entity_count
from skline.monitoring.data_results import ColumnDrift, ColumnQuality, Drift, Quality
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
from skline.monitoring.reader import Summary
from skline.monitoring.reference import SCORE, TrainingReference
from skline.monitoring.result import KpiResult
from skline.monitoring.rows import Rows
from skline.settings.monitor import Monitor

#: Segments of a column that are reported at most, the largest first.
MAX_SEGMENTS = 12
#: Periods of the prequential curve.
CURVE_POINTS = 20
#: Resamples for segments and arms: there are many.
SEGMENT_RESAMPLES = 100
#: Drift of dates and times is reported, never tested: they differ from training's by themselves.
UNTESTED_KINDS = ("date", "datetime")
SEED = 17


def column_quality(column: Column, rows: Rows, artifact: Artifact) -> ColumnQuality:
    """Describe the quality of an input."""
    profile = artifact.profile.get("columns", {}).get(column.name, {})
    known = quality.known_categories(profile, column.kind)
    return quality.column_quality(
        column.name, column.kind, rows.inputs[column.name], profile, known=known, entities=rows.entities
    )


def describe_quality(
    summary: Summary, earlier: Sequence[int], columns: Sequence[ColumnQuality], known: Mapping[str, str]
) -> Quality:
    """Return the quality of a window.

    Parameters
    ----------
    summary : Summary
    earlier : sequence of int
        Rows of the same hours of earlier seasons.
    columns : sequence of ColumnQuality
    known : mapping of str to str
        Version by digest of the monitored artifact, and of those that were released or registered here.
    """
    by_version: Counter[str] = Counter()
    for digest, rows in summary.by_digest.items():
        if digest in known:
            by_version[known[digest]] += rows
    unknown = {digest: rows for digest, rows in summary.by_digest.items() if digest and digest not in known}
    expected, ratio = quality.rows_ratio(summary.rows, earlier)
    return Quality(
        rows=summary.rows,
        expected_rows=expected,
        rows_ratio=ratio,
        by_contract=summary.by_digest,
        by_version=dict(by_version),
        by_unknown=unknown,
        broken_rows=summary.broken,
        conflicting_labels=summary.conflicting_labels,
        columns=tuple(columns),
    )


def column_drift(
    column: Column, values: npt.NDArray[Any], reference: npt.NDArray[Any], entities: Any, other_entities: Any,
    settings: Monitor,
) -> ColumnDrift:  # fmt: skip
    """Compare an input with its reference."""
    compare = drift.category_drift if values.dtype == object else drift.numeric_drift
    result = compare(column.name, column.kind, values, reference, entities, other_entities)
    return result.model_copy(
        update={"tested": column.kind not in UNTESTED_KINDS and column.name not in settings.drift.ignore}
    )


def score_drift(rows: Rows, reference: TrainingReference, other: Rows | None) -> ColumnDrift | None:
    """Compare the scores with those of other rows, or with the quantiles on the test part; None without either."""
    if other is not None:
        return drift.numeric_drift(SCORE, "number", rows.scores, other.scores, rows.entities, other.entities)
    if len(reference.score_quantiles) < 2 or not reference.test_rows:
        return None
    size = min(reference.test_rows, 5_000)
    result: ColumnDrift = drift.quantile_drift(SCORE, rows.scores, reference.score_quantiles, size, rows.entities)
    return result


def describe_drift(
    name: str, columns: Sequence[ColumnDrift], reference: TrainingReference, settings: Monitor,
    seasonal: Sequence[ColumnDrift] = (),
) -> Drift:  # fmt: skip
    """Decide which columns have drifted, and put them in order."""
    limits = (settings.drift.effect, settings.drift.alpha, settings.min_rows)
    decided = [
        each.model_copy(update={"importance": reference.importance_share(each.column)})
        for each in drift.adjust(columns, *limits)
    ]
    decided.sort(key=lambda each: (not each.drifted, -(each.effect.value or 0.0)))
    return Drift(
        reference=name,
        reference_rows=max((each.reference_rows for each in columns), default=0),
        importance=drift.weighted_importance(decided, reference.importance),
        columns=tuple(decided),
        seasonal=tuple(drift.adjust(seasonal, *limits)),
    )


def make_sample(rows: Rows, contract: Contract, threshold: float) -> Sample:
    """Return labelled rows as a sample of the registry's metrics."""
    if contract.task == "regression" or rows.probabilities is None:
        return RegressionSample(rows.truth, rows.predicted)
    if contract.task == "binary":
        return BinarySample(rows.truth == 1, rows.scores, threshold)
    classes = np.arange(rows.probabilities.shape[1], dtype=np.float64)
    return MulticlassSample(rows.truth, rows.probabilities, classes)


def describe_performance(
    rows: Rows, contract: Contract, reference: TrainingReference, settings: Monitor, floors: Mapping[str, float],
    bounds: tuple[dt.datetime, dt.datetime],
) -> Performance:  # fmt: skip
    """Compute the metrics of matured predictions.

    Parameters
    ----------
    rows : Rows
        All matured predictions, those without a label too.
    floors : mapping of str to float
    bounds : (datetime, datetime)
        Of the predictions' times.
    """
    metric = reference.metric or DEFAULT_METRIC[contract.task]
    labelled, strata = rows.labelled, performance.score_bands(rows.scores)
    known = rows.take(labelled)
    weighted = bool(len(rows)) and 0 < labelled.mean() < settings.performance.full_coverage
    metrics: list[MetricResult] = []
    calibration, curve = [], []
    drawn = labelled & (rows.reviews == REVIEW_SAMPLE)
    if len(known) >= 2 and (contract.task == "regression" or len(np.unique(known.truth)) > 1):
        sample = make_sample(known, contract, reference.threshold)
        plain = metric_values(sample)
        estimates = performance.metric_estimates(
            sample, labelled, strata if weighted else None, rows.entities, settings.performance.resamples, SEED
        )
        sampled = review_sample_estimates(rows, drawn, contract, reference.threshold, settings.performance.resamples)
        metrics = [
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


def review_sample_estimates(
    rows: Rows, drawn: npt.NDArray[np.bool_], contract: Contract, threshold: float, n_resamples: int
) -> dict[str, Estimate]:
    """Return the metrics of the labelled rows that were drawn for review at random; empty if there are too few."""
    known = rows.take(drawn)
    if len(known) < 2 or (contract.task != "regression" and len(np.unique(known.truth)) < 2):
        return {}
    sample = make_sample(known, contract, threshold)
    periods = performance.inclusion_periods(drawn)
    return performance.metric_estimates(sample, drawn, periods, rows.entities, n_resamples, SEED)


def prequential_curve(known: Rows, contract: Contract, threshold: float, metric: str) -> list[CurvePoint]:
    """Return the metric of periods of equal count, in the order of time; those without a value are left out."""
    points = []
    for part in np.array_split(np.arange(len(known)), min(CURVE_POINTS, max(len(known) // 50, 1))):
        chosen = known.take(part)
        value = metric_value(make_sample(chosen, contract, threshold), metric) if len(part) > 1 else float("nan")
        if np.isfinite(value):
            points.append(CurvePoint(start=from_us(int(chosen.times[0])), rows=len(part), value=value))
    return points


def segments_of(rows: Rows, contract: Contract) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
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
    names, merged = np.unique(np.array([_segment_text(value) for value in uniques.tolist()]), return_inverse=True)
    return names.tolist(), merged[numbers]


def segment_results(
    rows: Rows, contract: Contract, threshold: float, metric: str, min_labels: int
) -> list[SegmentResult]:
    """Return rows, labels and the metric of each segment that has enough labels."""
    results = []
    for column, value, members in segments_of(rows, contract):
        part = rows.take(members)
        labelled = part.labelled
        known = part.take(labelled)
        found = SegmentResult(column=column, value=value, rows=len(part), labelled=len(known))
        if len(known) >= min_labels:
            sample = make_sample(known, contract, threshold)
            everything = np.ones(len(known), dtype=bool)
            estimates = performance.metric_estimates(
                sample, everything, None, known.entities, SEGMENT_RESAMPLES, SEED, only=metric
            )
            found = found.model_copy(update={"estimate": estimates.get(metric, found.estimate)})
        results.append(found)
    return results


def describe_concept(stream: Rows, start: dt.datetime, contract: Contract, settings: Monitor) -> Concept:
    """Look for rises of the error in the stream of labelled rows, and compare the residuals of segments.

    Parameters
    ----------
    stream : Rows
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
            difference = mean_difference(
                errors[now], errors[before], *(None if stream.entities is None else stream.entities[each]
                                               for each in (now, before))
            )  # fmt: skip
            residuals.append(ResidualDrift(column=column, value=value, rows=int(now.sum()), difference=difference))
    return Concept(
        labels=len(stream),
        detected_at=None if last is None else from_us(int(stream.times[last.position])),
        before=None if last is None else last.before,
        after=None if last is None else last.after,
        detections=len(detections),
        residuals=tuple(residuals),
    )


def row_errors(rows: Rows, contract: Contract) -> Floats:
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


def estimate_metrics(rows: Rows, contract: Contract, reference: TrainingReference) -> list[EstimatedMetric]:
    """Estimate the metrics of a classifier without labels."""
    if contract.task != "binary":
        return []
    return estimate.estimate_binary(rows.scores, reference.threshold, SEED)


def arm_results(rows: Rows, contract: Contract) -> list[ArmResult]:
    """Return the figures of each arm; empty with more than two classes, for which there is no bias."""
    if contract.task == "multiclass":
        return []
    positive = rows.predicted == 1 if contract.task == "binary" else None
    return [
        bias.arm_result(
            str(arm),
            rows.scores[members],
            rows.truth[members],
            None if positive is None else positive[members],
            None if rows.entities is None else rows.entities[members],
        )
        for arm in sorted(set(rows.arms.tolist()))
        if (members := rows.arms == arm).any()
    ]


def kpi_results(rows: Rows, contract: Contract, settings: Monitor) -> list[KpiResult]:
    """Return the cost and the figures that params name: for all rows, by arm and by segment."""
    if settings.costs is None and not settings.kpis:
        return []
    groups: list[tuple[str | None, str | None, npt.NDArray[np.bool_]]] = [(None, None, np.ones(len(rows), dtype=bool))]
    arms = sorted(set(rows.arms.tolist()))
    groups += [(str(arm), None, rows.arms == arm) for arm in arms] if len(arms) > 1 else []
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


def _segment_text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return "(missing)"
    return f"{value:g}" if isinstance(value, float) else str(value)
