"""Monitor one window: read the log, let `skline.monitoring.judgement` compute the result, and write it."""

import datetime as dt
import logging
import shutil
from pathlib import Path

from skline import paths
from skline.files import write_json, write_text
from skline.monitoring.job import Job
from skline.monitoring.judgement import judge_window
from skline.monitoring.notification import News, notify
from skline.monitoring.reader import LogReader, remove_leftovers
from skline.monitoring.rejections import read_rejections
from skline.monitoring.report.content import PageContent, select_history
from skline.monitoring.report.page import render_page
from skline.monitoring.result import WindowResult
from skline.monitoring.state import MonitorState, PastResult, monitor_lock, read_state, write_state
from skline.monitoring.textfile import prometheus_text
from skline.monitoring.window_data import Problems, WindowData
from skline.settings.monitor import format_duration

log = logging.getLogger("skline.monitoring")

TEXTFILE, PAGE = paths.MONITOR_STATE.name, paths.MONITOR_PAGE.name


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
