"""Monitor one window: read the log, compute each part, decide the states, and write the result.

A part or column that fails is reported as a problem, and the others are computed.
"""

import datetime as dt
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from skline import paths
from skline.artifact import Artifact
from skline.entrypoint import is_out_of_space
from skline.files import write_json, write_text
from skline.logs.settings import LogSettings
from skline.monitoring import analysis, bias, concept, kpis, operations, performance, quality, summary
from skline.monitoring.checks import STATES, Check, Part
from skline.monitoring.clusters import entity_count
from skline.monitoring.data_results import ColumnDrift, ColumnQuality, Drift, Quality
from skline.monitoring.label_results import Concept, Performance
from skline.monitoring.notification import News, notify
from skline.monitoring.persistence import distinct_windows, with_state
from skline.monitoring.prometheus import RequestCounts, read_counts
from skline.monitoring.reader import LogReader, Period, Summary, remove_leftovers
from skline.monitoring.reference import SCORE, TrainingReference
from skline.monitoring.rejections import describe_rejections, read_rejections, rejected_check
from skline.monitoring.report.content import PageContent, ReleaseMark, select_history
from skline.monitoring.report.page import render_page
from skline.monitoring.result import Problem, Window, WindowResult
from skline.monitoring.rows import Rows
from skline.monitoring.state import MonitorState, PastResult, monitor_lock, read_state, write_state
from skline.monitoring.textfile import prometheus_text
from skline.monitoring.undecided import with_reason
from skline.settings.monitor import Compare, Monitor, format_duration

log = logging.getLogger("skline.monitoring")

Value = TypeVar("Value")
#: Why nothing was compared, by the reference.
OBSTACLES: dict[Compare, str] = {
    "training": "no column could be compared with training: the artifact may hold no rows of it",
    "previous": "no rows in the previous window",
    "season": "no rows of earlier seasons",
}
TEXTFILE, PAGE = paths.MONITOR_STATE.name, paths.MONITOR_PAGE.name


@dataclass(frozen=True)
class Job:
    """What to monitor: settings, artifact, and the end of the window.

    Attributes
    ----------
    floors : mapping of str to float
        Minimum of each metric, or maximum for losses.
    releases : tuple of ReleaseMark
        For the page.
    known_versions : mapping of str to str
        Version by digest of the artifacts that were released or registered here.
    posts_changes : bool
        Whether changes are posted to the webhook of the settings.
    """

    settings: Monitor
    artifact: Artifact
    log: LogSettings
    end: dt.datetime
    floors: Mapping[str, float]
    releases: tuple[ReleaseMark, ...] = ()
    known_versions: Mapping[str, str] = field(default_factory=dict)
    posts_changes: bool = True

    @property
    def start(self) -> dt.datetime:
        """Start of the window."""
        return self.end - self.settings.window

    @property
    def season_starts(self) -> list[dt.datetime]:
        """Starts of the same hours of earlier seasons, which do not overlap with the window."""
        steps = range(1, self.settings.seasons + 1)
        return [
            self.start - step * self.settings.season
            for step in steps
            if step * self.settings.season >= self.settings.window
        ]

    @property
    def matured(self) -> tuple[dt.datetime, dt.datetime]:
        """Start and end of the window, shifted by the label horizon."""
        return self.start - self.settings.label_horizon, self.end - self.settings.label_horizon

    @property
    def labelled(self) -> tuple[dt.datetime, dt.datetime]:
        """Start and end of the labelled predictions whose errors make the stream of concept drift."""
        start, end = self.matured
        return start - (self.settings.concept.windows - 1) * self.settings.window, end

    @property
    def reference_starts(self) -> dict[Compare, dt.datetime]:
        """Starts of the rows of the log that the window is compared with."""
        starts: dict[Compare, dt.datetime] = {"season": self.season_starts[0]} if self.season_starts else {}
        if self.settings.compare == "previous":
            starts["previous"] = self.start - self.settings.window
        return starts

    @property
    def periods(self) -> list[Period]:
        """The rows of the log that are read; others are counted only."""
        references = [Period(start, start + self.settings.window) for start in self.reference_starts.values()]
        window, matured = Period(self.start, self.end), Period(*self.matured)
        return [window, matured, Period(*self.labelled, labelled=True), *references]

    @property
    def needed_since(self) -> dt.datetime:
        """Start of what is read or counted of the log."""
        return min([self.labelled[0], self.start - self.settings.window, *self.season_starts])


class Problems:
    """Collects what could not be computed."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def attempt(self, part: Part, subject: str, compute: Callable[[], Value]) -> Value | None:
        """Return what `compute` returns; on failure None, and the problem is kept."""
        try:
            return compute()
        except Exception as error:
            if is_out_of_space(error):
                raise
            log.warning("%s/%s could not be computed", part, subject, exc_info=True)
            self.found.append(Problem(part=part, subject=subject, message=f"{type(error).__name__}: {error}"[:300]))
            return None


def run(job: Job, reports: Path, now: dt.datetime) -> WindowResult:
    """Monitor a window, write its result and remember it; two monitors of a log take turns.

    Raises
    ------
    SklineError
        If the log or the state cannot be read, or another monitor does not finish.
    """
    folder = job.log.folder
    with monitor_lock(folder):
        remove_leftovers(folder)
        state = read_state(folder)
        is_newest = state.is_newest(job.end, now)
        posts_changes = is_newest and job.posts_changes and job.settings.webhook.is_on
        try:
            with LogReader(
                job.log, job.artifact.contract, job.needed_since, job.end, job.end, job.settings.memory_mb
            ) as reader:
                result = monitor_window(job, reader, state, now)
        except Exception as error:
            if posts_changes:
                _notify(job, state, News.of_failure(error, job.artifact.version), now)
            raise
        history = select_history(state.windows, PastResult.of(result))
        page = render_page(PageContent(job.artifact.manifest.title, result, history, job.releases))
        write_result(result, page, reports, is_newest=is_newest, webhook_failures=state.webhook_failures)
        earlier, state = state, state.with_result(result, job.settings.keep)
        write_state(folder, state)
        for name in earlier.names - state.names:
            shutil.rmtree(reports / name, ignore_errors=True)  # of a window that the history no longer keeps
        if posts_changes:
            state = _notify(job, state, News.of_result(result), now)
            write_text(reports / TEXTFILE, prometheus_text(result, state.webhook_failures))
    return result


def _notify(job: Job, state: MonitorState, news: News, now: dt.datetime) -> MonitorState:
    """Post changes to the webhook; if that cannot be stored, post nothing."""
    manifest, length = job.artifact.manifest, format_duration(job.settings.window)
    try:
        return notify(job.log.folder, state, length, news, manifest.title or manifest.name, job.settings.webhook, now)
    except OSError as error:
        log.warning("webhook: nothing is posted, because %s cannot be written: %s", job.log.folder, error.strerror)
        return state


def write_result(result: WindowResult, page: str, reports: Path, *, is_newest: bool, webhook_failures: int = 0) -> None:
    """Write metrics.json and the page of a window; of the newest one also the textfile and the page to look at first.

    Each file is written atomically.
    """
    folder = reports / result.window.name
    write_json(folder / "metrics.json", result.model_dump(mode="json"))
    write_text(folder / PAGE, page)
    if is_newest:
        write_text(reports / PAGE, page)
        write_text(reports / TEXTFILE, prometheus_text(result, webhook_failures))


def monitor_window(job: Job, reader: LogReader, state: MonitorState, now: dt.datetime) -> WindowResult:
    """Compute the result of a window."""
    settings, contract = job.settings, job.artifact.contract
    problems = Problems()
    reference = TrainingReference.of(job.artifact)
    matured = job.matured
    reader.sample(job.periods, settings.max_rows)
    counts = reader.summarize(job.start, job.end)
    rows = reader.read(job.start, job.end, settings.max_rows)
    matured_rows = reader.read(*matured, settings.max_rows)
    stream = reader.read(*job.labelled, settings.max_rows, labelled=True)
    data_quality = _quality(job, reader, rows, counts, problems)
    data_drift = _drift(job, reader, rows, reference, problems) if len(rows) else None
    measured = problems.attempt(
        "performance", "all",
        lambda: analysis.describe_performance(matured_rows, contract, reference, settings, job.floors, matured),
    )  # fmt: skip
    concept_drift = problems.attempt(
        "concept", "all", lambda: analysis.describe_concept(stream, matured[0], contract, settings)
    )
    estimates = problems.attempt(
        "performance", "estimate", lambda: analysis.estimate_metrics(matured_rows, contract, reference)
    )
    arms = problems.attempt("bias", "all", lambda: analysis.arm_results(matured_rows, contract)) or []
    figures = problems.attempt("kpi", "all", lambda: analysis.kpi_results(matured_rows, contract, settings)) or []
    problems.found += [
        Problem(part="kpi", subject=each.name, message=each.error) for each in figures if each.error is not None
    ]
    operation_figures = operations.describe_operations(
        counts.by_path, counts.by_version, counts.reviewed, counts.latency_ms, _request_counts(job, problems)
    )
    checks = [
        rejected_check(data_quality, settings.quality.rejected, settings.min_rows),
        *quality.quality_checks(data_quality, settings.quality, settings.min_rows, len(rows)),
        *drift_checks(data_drift, settings),
        *_label_checks(measured, concept_drift, settings),
        *(bias.bias_checks(arms, settings.performance.bias, settings.performance.min_labels)
          if contract.task == "binary" else ()),
        *kpis.kpi_checks(settings.kpis, figures, settings.min_rows),
        *operations.operations_checks(operation_figures, settings.operations, counts.rows, settings.min_rows),
    ]  # fmt: skip
    checks = [with_reason(check, counts.rows, measured, settings) for check in checks]
    checks = _with_states(checks, job, state)
    states = summary.part_states(checks)
    overall = summary.overall_state(states, counts.rows, settings.min_rows)
    realized = {each.name: each.estimate.value for each in measured.metrics} if measured else {}
    return WindowResult(
        written_at=now,
        window=_window(job, counts.rows, rows),
        state=overall,
        sentence=summary.sentence(overall, checks, data_drift, counts.rows),
        states=states,
        checks=tuple(checks),
        quality=data_quality,
        drift=data_drift,
        performance=measured,
        concept=concept_drift,
        estimates=tuple(each.model_copy(update={"realized": realized.get(each.name)}) for each in estimates or ()),
        arms=tuple(arms),
        kpis=tuple(figures),
        operations=operation_figures,
        problems=tuple(problems.found),
    )


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
    if drift is None or drift.obstacle is not None:
        message = "no rows in the window" if drift is None or drift.obstacle is None else drift.obstacle
        return [Check(part="drift", rule="effect", subject="all", raised=None, message=message)]
    checks = []
    for each in drift.columns:
        if each.tested:
            unit = "KS distance" if each.measure == "ks_d" else "total variation"
            column = "the score" if each.column == SCORE else each.column
            message = f"{column} has drifted from {drift.reference}: {unit} {each.effect.value or 0.0:.2f}"
            checks.append(
                Check.of(
                    each.effect, part="drift", rule="effect", subject=each.column, raised=each.drifted,
                    limit=settings.drift.effect, rows=each.rows, message=message if each.drifted else "",
                )
            )  # fmt: skip
    return checks


def _quality(job: Job, reader: LogReader, rows: Rows, counts: Summary, problems: Problems) -> Quality:
    columns: list[ColumnQuality] = []
    for column in job.artifact.contract.inputs:
        if column.name in rows.inputs and len(rows):
            found = problems.attempt(
                "quality", column.name, lambda column=column: analysis.column_quality(column, rows, job.artifact)  # type: ignore[misc]
            )  # fmt: skip
            columns += [found] if found is not None else []
    length = job.settings.window
    earlier = [reader.count(start, start + length) for start in job.season_starts]
    known = {**job.known_versions, job.artifact.digest: job.artifact.version}
    described = analysis.describe_quality(counts, [each for each in earlier if each], columns, known)
    rejected = problems.attempt("quality", "rejected", lambda: read_rejections(job.log, job.start, job.end))
    return described if rejected is None else describe_rejections(described, rejected)


def _drift(job: Job, reader: LogReader, rows: Rows, reference: TrainingReference, problems: Problems) -> Drift | None:
    """Compare with the reference that the settings name, and with the seasonal one as well."""
    settings = job.settings
    others = {
        name: reader.read(start, start + settings.window, settings.max_rows)
        for name, start in job.reference_starts.items()
    }

    def compare(name: Compare) -> list[ColumnDrift]:
        if name == "training":
            return _compare(job, rows, reference, None, problems)
        return _compare(job, rows, reference, others[name], problems) if len(others.get(name, ())) else []

    seasonal = compare("season") if settings.compare != "season" else []
    found = analysis.describe_drift(settings.compare, compare(settings.compare), reference, settings, seasonal)
    return found if found.columns else found.model_copy(update={"obstacle": OBSTACLES[settings.compare]})


def _compare(
    job: Job, rows: Rows, reference: TrainingReference, other: Rows | None, problems: Problems
) -> list[ColumnDrift]:
    """Compare each input, and the score, with `other` rows, at least one, or with those of training."""
    known = reference.inputs if other is None else other.inputs
    entities = None if other is None else other.entities
    columns: list[ColumnDrift] = []
    for column in job.artifact.contract.inputs:
        if column.name in rows.inputs and column.name in known:
            found = problems.attempt(
                "drift", column.name,
                lambda column=column: analysis.column_drift(  # type: ignore[misc]
                    column, rows.inputs[column.name], known[column.name], rows.entities, entities, job.settings
                ),
            )  # fmt: skip
            columns += [found] if found is not None else []
    score = problems.attempt("drift", SCORE, lambda: analysis.score_drift(rows, reference, other))
    return [*columns, score] if score is not None else columns


def _label_checks(measured: Performance | None, changes: Concept | None, settings: Monitor) -> Sequence[Check]:
    """Return the checks of performance and concept drift."""
    if measured is None or changes is None:
        return [
            Check(part="performance", rule="floor", subject="all", raised=None),
            Check(part="concept", rule="adwin", subject="errors", raised=None),
        ]
    min_labels = settings.performance.min_labels
    return [
        *performance.performance_checks(measured, settings.performance.margin, min_labels),
        concept.concept_check(changes, measured.metrics, measured.metric, measured.labelled, min_labels),
    ]


def _window(job: Job, total: int, rows: Rows) -> Window:
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
