"""The result of a window from what was read of it: each part, the checks on it, and the state.

A part or column that fails is reported as a problem, and the others are computed.
"""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from skline.monitoring import (
    bias,
    concept,
    data_analysis,
    kpis,
    label_analysis,
    operations,
    performance,
    quality,
    summary,
)
from skline.monitoring.checks import STATES, Check
from skline.monitoring.clusters import entity_count
from skline.monitoring.data_results import MEASURES, ColumnDrift, ColumnQuality, Drift, Quality
from skline.monitoring.job import Job
from skline.monitoring.label_results import ArmResult, Concept, EstimatedMetric, Performance
from skline.monitoring.persistence import distinct_windows, with_state
from skline.monitoring.prometheus import RequestCounts, read_counts
from skline.monitoring.reference import SCORE, TrainingReference, reference_of
from skline.monitoring.rejections import describe_rejections, rejected_check
from skline.monitoring.result import KpiResult, Operations, Problem, Window, WindowResult
from skline.monitoring.rows import LoggedRows
from skline.monitoring.state import MonitorState
from skline.monitoring.undecided import with_reason
from skline.monitoring.window_data import Problems, WindowData
from skline.settings.monitor import Compare, Monitor, format_duration

#: Why nothing was compared, by the reference.
OBSTACLES: dict[Compare, str] = {
    "training": "no column could be compared with training: the artifact may hold no rows of it",
    "previous": "no rows in the previous window",
    "season": "no rows of earlier seasons",
}


class WindowParts(NamedTuple):
    """The parts of a result, before checks; None where a part could not be computed, or has no rows."""

    quality: Quality
    drift: Drift | None
    performance: Performance | None
    concept: Concept | None
    estimates: tuple[EstimatedMetric, ...]
    arms: tuple[ArmResult, ...]
    kpis: tuple[KpiResult, ...]
    operations: Operations


def judge_window(
    job: Job, data: WindowData, state: MonitorState, now: dt.datetime, problems: Problems
) -> WindowResult:  # fmt: skip
    """Compute the result of a window from what was read of it; no file is read and nothing is written."""
    parts = _compute_parts(job, data, problems)
    rows = data.counts.rows
    checks = [with_reason(check, rows, parts.performance, job.settings) for check in _checks(parts, job, data)]
    checks = _with_states(checks, job, state)
    states = summary.part_states(checks)
    overall = summary.overall_state(states, rows, job.settings.min_rows)
    return WindowResult(
        written_at=now,
        window=_window(job, rows, data.rows),
        state=overall,
        sentence=summary.sentence(overall, checks, parts.drift, rows),
        states=states,
        checks=tuple(checks),
        quality=parts.quality,
        drift=parts.drift,
        performance=parts.performance,
        concept=parts.concept,
        estimates=parts.estimates,
        arms=parts.arms,
        kpis=parts.kpis,
        operations=parts.operations,
        problems=tuple(problems.found),
    )


def _compute_parts(job: Job, data: WindowData, problems: Problems) -> WindowParts:
    settings, contract, counts = job.settings, job.artifact.contract, data.counts
    reference = TrainingReference.of(job.artifact)
    start, end, _ = job.matured
    measured = problems.attempt(
        "performance", "all",
        lambda: label_analysis.describe_performance(
            data.matured, contract, reference, settings, job.floors, (start, end)
        ),
    )  # fmt: skip
    min_rows = settings.performance.min_labels
    estimates = problems.attempt(
        "performance", "estimate", lambda: label_analysis.estimate_metrics(data.matured, contract, reference, min_rows)
    )
    realized = {each.name: each.estimate.value for each in measured.metrics} if measured else {}
    figures = problems.attempt("kpi", "all", lambda: label_analysis.kpi_results(data.matured, contract, settings)) or []
    problems.found += [
        Problem(part="kpi", subject=each.name, message=each.error) for each in figures if each.error is not None
    ]
    return WindowParts(
        quality=_quality(job, data, problems),
        drift=_drift(job, data, reference, problems) if len(data.rows) else None,
        performance=measured,
        concept=problems.attempt(
            "concept", "all", lambda: label_analysis.describe_concept(data.stream, start, contract, settings)
        ),
        estimates=tuple(each.model_copy(update={"realized": realized.get(each.name)}) for each in estimates or ()),
        arms=tuple(problems.attempt("bias", "all", lambda: label_analysis.arm_results(data.matured, contract)) or ()),
        kpis=tuple(figures),
        operations=operations.describe_operations(
            counts.by_path, counts.by_version, counts.reviewed, counts.latency_ms, _request_counts(job, problems)
        ),
    )


def _checks(parts: WindowParts, job: Job, data: WindowData) -> list[Check]:
    settings, rows = job.settings, data.counts.rows
    return [
        rejected_check(parts.quality, settings.quality.rejected, settings.min_rows),
        *quality.quality_checks(parts.quality, settings.quality, settings.min_rows, len(data.rows)),
        *drift_checks(parts.drift, settings),
        *_label_checks(parts.performance, parts.concept, settings),
        *(bias.bias_checks(parts.arms, settings.performance.bias, settings.performance.min_labels)
          if job.artifact.contract.task == "binary" else ()),
        *kpis.kpi_checks(settings.kpis, parts.kpis, settings.min_rows),
        *operations.release_checks(job.rejections),
        *operations.operations_checks(parts.operations, settings.operations, rows, settings.min_rows),
    ]  # fmt: skip


def _request_counts(job: Job, problems: Problems) -> RequestCounts | None:
    """Return the counts of requests, if the settings name a Prometheus server that has them."""
    limits = job.settings.operations
    address = limits.prometheus
    if address is None:
        return None
    return problems.attempt("operations", "prometheus", lambda: read_counts(address, limits.job, job.start, job.end))


def _with_states(checks: Sequence[Check], job: Job, state: MonitorState) -> list[Check]:
    """Return the checks with their states, by those of earlier windows; the serious ones first."""
    settings = job.settings
    previous = distinct_windows(
        state.comparable(format_duration(settings.window), job.artifact.digest), job.start, settings.of_windows - 1
    )
    decided = [with_state(check, job.start, previous, settings.persist) for check in checks]
    return sorted(decided, key=lambda check: (-STATES.index(check.state), not check.raised))


def drift_checks(drift: Drift | None, settings: Monitor) -> list[Check]:
    """Return a check for each tested column; one that is undecided if nothing was compared."""
    obstacle = "no rows in the window" if drift is None else drift.obstacle
    if drift is None or obstacle is not None:
        return [Check(part="drift", rule="effect", subject="all", raised=None, message=obstacle or "")]
    checks = []
    for each in drift.columns:
        if each.tested:
            column = "the score" if each.column == SCORE else each.column
            effect = f"{MEASURES[each.measure]} {each.effect.value or 0.0:.2f}"
            message = f"{column} has drifted from {reference_of(each.column, drift.reference)}: {effect}"
            checks.append(
                Check.of(
                    each.effect, part="drift", rule="effect", subject=each.column, raised=each.drifted,
                    limit=settings.drift.effect, rows=each.rows, message=message if each.drifted else "",
                )
            )  # fmt: skip
    return checks


def _quality(job: Job, data: WindowData, problems: Problems) -> Quality:
    rows = data.rows
    columns: list[ColumnQuality] = []
    for column in job.artifact.contract.inputs:
        if column.name in rows.inputs and len(rows):
            described = problems.attempt(
                "quality", column.name, partial(data_analysis.column_quality, column, rows, job.artifact)
            )
            if described is not None:
                columns.append(described)
    known = {**job.known_versions, job.artifact.digest: job.artifact.version}
    result = data_analysis.describe_quality(data.counts, [each for each in data.earlier if each], columns, known)
    return result if data.rejections is None else describe_rejections(result, data.rejections)


def _drift(job: Job, data: WindowData, reference: TrainingReference, problems: Problems) -> Drift:
    """Compare with the reference that the settings name, and with the seasonal one as well."""
    settings, rows, others = job.settings, data.rows, data.references

    def compare(name: Compare) -> list[ColumnDrift]:
        if name == "training":
            return _compare(job, rows, reference, None, problems)
        return _compare(job, rows, reference, others[name], problems) if len(others.get(name, ())) else []

    seasonal = compare("season") if settings.compare != "season" else []
    result = data_analysis.describe_drift(settings.compare, compare(settings.compare), reference, settings, seasonal)
    return result if result.columns else result.model_copy(update={"obstacle": OBSTACLES[settings.compare]})


def _compare(
    job: Job, rows: LoggedRows, reference: TrainingReference, other: LoggedRows | None, problems: Problems
) -> list[ColumnDrift]:
    """Compare each input, and the score, with `other` rows, at least one, or with those of training."""
    known = reference.inputs if other is None else other.inputs
    entities = None if other is None else other.entities
    columns: list[ColumnDrift] = []
    for column in job.artifact.contract.inputs:
        if column.name in rows.inputs and column.name in known:
            compared = problems.attempt(
                "drift", column.name,
                partial(
                    data_analysis.column_drift, column, rows.inputs[column.name], known[column.name], rows.entities,
                    entities, job.settings,
                ),
            )  # fmt: skip
            if compared is not None:
                columns.append(compared)
    score = problems.attempt("drift", SCORE, lambda: data_analysis.score_drift(rows, reference, other))
    return [*columns, score] if score is not None else columns


def _label_checks(measured: Performance | None, changes: Concept | None, settings: Monitor) -> Sequence[Check]:
    """Return the checks of performance and concept drift; that of a part that could not be computed is undecided."""
    min_labels = settings.performance.min_labels
    if measured is None:
        checks = [Check(part="performance", rule="floor", subject="all", raised=None)]
    else:
        checks = performance.performance_checks(measured, settings.performance.margin, min_labels)
    if measured is None or changes is None:
        message = "it could not be computed"
        return [*checks, Check(part="concept", rule="adwin", subject="errors", raised=None, message=message)]
    return [*checks, concept.concept_check(changes, measured, min_labels)]


def _window(job: Job, total: int, rows: LoggedRows) -> Window:
    length = format_duration(job.settings.window)
    return Window(
        name=f"{job.end:%Y%m%dT%H%M%SZ}-{length}",
        start=job.start,
        end=job.end,
        asof=job.end,
        length=length,
        compare=job.settings.compare,
        model_version=job.artifact.version,
        artifact_digest=job.artifact.digest,
        rows=total,
        sampled_rows=len(rows),
        entities=entity_count(rows.entities),
    )
