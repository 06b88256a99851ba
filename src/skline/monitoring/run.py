"""Monitor one window: read the log, compute each part, decide the states, and write the result.

A part or column that fails is reported as a problem, and the others are computed.
"""

import datetime as dt
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skline import paths
from skline.artifact import Artifact
from skline.files import write_json, write_text
from skline.logs.settings import LogSettings
from skline.monitoring import analysis, bias, concept, kpis, operations, performance, quality, summary
from skline.monitoring.checks import STATES, Check
from skline.monitoring.clusters import entity_count
from skline.monitoring.data_results import ColumnDrift, ColumnQuality, Drift, Quality
from skline.monitoring.label_results import Concept, Performance
from skline.monitoring.log_tables import Period
from skline.monitoring.notification import News, notify
from skline.monitoring.persistence import distinct_windows, with_state
from skline.monitoring.prometheus import RequestCounts, read_counts
from skline.monitoring.reader import LogReader, remove_leftovers
from skline.monitoring.reference import SCORE, TrainingReference
from skline.monitoring.rejections import describe_rejections, read_rejections, rejected_check
from skline.monitoring.report.content import PageContent, ReleaseMark, select_history
from skline.monitoring.report.page import render_page
from skline.monitoring.result import Problem, Window, WindowResult
from skline.monitoring.rows import Rows
from skline.monitoring.state import MonitorState, PastResult, monitor_lock, read_state, write_state
from skline.monitoring.textfile import prometheus_text
from skline.monitoring.undecided import with_reason
from skline.monitoring.window_data import Problems, WindowData
from skline.settings.monitor import Compare, Monitor, format_duration

log = logging.getLogger("skline.monitoring")

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
    rejections : tuple of str
        Why services on this machine do not serve the release; known only for a window that ends now.
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
    rejections: tuple[str, ...] = ()
    posts_changes: bool = True

    @property
    def start(self) -> dt.datetime:
        """Start of the window."""
        return self.end - self.settings.window

    @property
    def window(self) -> Period:
        """The window."""
        return Period(self.start, self.end)

    @property
    def matured(self) -> Period:
        """The window, shifted by the label horizon."""
        return Period(self.start - self.settings.label_horizon, self.end - self.settings.label_horizon)

    @property
    def labelled(self) -> Period:
        """The labelled predictions whose errors make the stream of concept drift."""
        start, end, _ = self.matured
        return Period(start - (self.settings.concept.windows - 1) * self.settings.window, end, labelled=True)

    @property
    def seasons(self) -> list[Period]:
        """The same hours of earlier seasons, which do not overlap with the window."""
        steps = range(1, self.settings.seasons + 1)
        shifts = [step * self.settings.season for step in steps if step * self.settings.season >= self.settings.window]
        return [Period(self.start - shift, self.end - shift) for shift in shifts]

    @property
    def references(self) -> dict[Compare, Period]:
        """The rows of the log that the window is compared with."""
        periods: dict[Compare, Period] = {"season": self.seasons[0]} if self.seasons else {}
        if self.settings.compare == "previous":
            periods["previous"] = Period(self.start - self.settings.window, self.start)
        return periods

    def open_log(self) -> LogReader:
        """Open the log in all periods that are read, and in those that are counted only."""
        periods = [self.window, self.matured, self.labelled, *self.references.values()]
        return LogReader(
            self.log, self.artifact.contract, periods, self.end, self.seasons, self.settings.max_rows,
            self.settings.memory_mb,
        )  # fmt: skip


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
            with job.open_log() as reader:
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
    problems = Problems()
    return judge_window(job, read_window(job, reader, problems), state, now, problems)


def read_window(job: Job, reader: LogReader, problems: Problems) -> WindowData:
    """Read what the result of a window is computed from."""
    rows = reader.read(job.window)
    return WindowData(
        counts=reader.summarize(job.window),
        rows=rows,
        matured=reader.read(job.matured),
        stream=reader.read(job.labelled),
        earlier=tuple(reader.count(period) for period in job.seasons),
        references={name: reader.read(period) for name, period in job.references.items()} if len(rows) else {},
        rejections=problems.attempt("quality", "rejected", lambda: read_rejections(job.log, job.start, job.end)),
    )


def judge_window(
    job: Job, data: WindowData, state: MonitorState, now: dt.datetime, problems: Problems
) -> WindowResult:  # fmt: skip
    """Compute the result of a window from what was read of it; no file is read and nothing is written."""
    settings, contract = job.settings, job.artifact.contract
    reference = TrainingReference.of(job.artifact)
    matured = job.matured
    counts, rows, matured_rows, stream = data.counts, data.rows, data.matured, data.stream
    data_quality = _quality(job, data, problems)
    data_drift = _drift(job, data, reference, problems) if len(rows) else None
    measured = problems.attempt(
        "performance", "all",
        lambda: analysis.describe_performance(matured_rows, contract, reference, settings, job.floors, matured[:2]),
    )  # fmt: skip
    concept_drift = problems.attempt(
        "concept", "all", lambda: analysis.describe_concept(stream, matured.since, contract, settings)
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
        *operations.release_checks(job.rejections),
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


def _quality(job: Job, data: WindowData, problems: Problems) -> Quality:
    rows = data.rows
    columns: list[ColumnQuality] = []
    for column in job.artifact.contract.inputs:
        if column.name in rows.inputs and len(rows):
            found = problems.attempt(
                "quality", column.name, lambda column=column: analysis.column_quality(column, rows, job.artifact)  # type: ignore[misc]
            )  # fmt: skip
            columns += [found] if found is not None else []
    known = {**job.known_versions, job.artifact.digest: job.artifact.version}
    described = analysis.describe_quality(data.counts, [each for each in data.earlier if each], columns, known)
    return described if data.rejections is None else describe_rejections(described, data.rejections)


def _drift(job: Job, data: WindowData, reference: TrainingReference, problems: Problems) -> Drift | None:
    """Compare with the reference that the settings name, and with the seasonal one as well."""
    settings, rows, others = job.settings, data.rows, data.references

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
