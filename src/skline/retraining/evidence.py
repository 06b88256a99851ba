"""Collect the evidence of a decision from what monitoring, releases and earlier decisions wrote."""

import datetime as dt
from collections.abc import Iterable

from skline.monitoring.persistence import PastWindow, distinct_windows
from skline.monitoring.state import MonitorState, PastResult
from skline.release.manifest import Release
from skline.release.registered import RegisteredVersion
from skline.retraining.decision import Evidence, WindowEvidence
from skline.retraining.journal import Journal
from skline.settings.monitor import Monitor, format_duration

#: Windows that ended more than this many of their lengths ago say nothing about now: monitoring has stopped.
MAX_WINDOWS_AGO = 2
#: Rules of data quality about values that a training would learn: the contract allows them, the model is new to them.
LEARNABLE_RULES = frozenset({"outside", "unseen"})


def gather_evidence(
    state: MonitorState,
    monitor: Monitor,
    digest: str,
    release: Release | None,
    registered: Iterable[RegisteredVersion],
    journal: Journal,
    new_labels: int,
    now: dt.datetime,
    *,
    is_locked: bool,
    maturing_labels: int = 0,
    below_since: dt.datetime | None = None,
    contract_fault: str | None = None,
) -> Evidence:
    """Collect the evidence; whatever is later than `now` is ignored.

    Parameters
    ----------
    state : MonitorState
    monitor : Monitor
        Settings, for the length of the windows and how many of them count.
    digest : str
        Digest of the artifact in service; windows of other artifacts say nothing about it.
    release : Release or None
        The release in force.
    registered : iterable of RegisteredVersion
    journal : Journal
    new_labels : int
        Matured labels since the last training.
    now : datetime
    is_locked : bool
        Whether another process is retraining.
    maturing_labels : int
        Labels of predictions that have not reached the label horizon.
    below_since : datetime, optional
        As `skline.retraining.served.below_since` returns it.
    contract_fault : str, optional
        As `skline.retraining.usable.find_fault` returns it.
    """
    journal = journal.up_to(now)
    windows = last_windows(state, monitor, digest, now)
    since = [each.time for each in registered if each.artifact_sha256 == digest and each.time <= now]
    training = journal.last_cooldown
    return Evidence(
        windows=tuple(map(window_evidence, windows)),
        quality_alarm=bool(windows) and has_broken_data(windows[0]),
        below_since=below_since,
        new_labels=new_labels,
        maturing_labels=maturing_labels,
        contract_fault=contract_fault,
        model_since=min(since, default=None),
        last_training=None if training is None else training.time,
        experiment=release.experiment.name if release is not None and release.experiment is not None else None,
        hold=journal.hold,
        is_locked=is_locked,
    )


def has_broken_data(window: PastResult) -> bool:
    """Return whether data quality is an alarm for another reason than values that a training would learn."""
    raised = {key.split("/")[1] for key, is_raised in window.raised.items() if is_raised and key.startswith("quality/")}
    is_learnable = bool(raised) and raised <= LEARNABLE_RULES
    return window.states.get("quality") == "alarm" and not is_learnable


def last_windows(state: MonitorState, monitor: Monitor, digest: str, now: dt.datetime) -> list[PastResult]:
    """Return the last windows of an artifact that do not overlap, the newest first; none if the newest is too old."""
    length = format_duration(monitor.window)
    results = {
        (each.start, each.end): each
        for each in state.windows
        if each.length == length and each.artifact_digest == digest and each.end <= now
    }
    past = [PastWindow(each.start, each.end, each.raised) for each in results.values()]
    chosen = [results[each.start, each.end] for each in distinct_windows(past, now, monitor.of_windows)]
    return chosen if chosen and now - chosen[0].end <= MAX_WINDOWS_AGO * monitor.window else []


def window_evidence(window: PastResult) -> WindowEvidence:
    """Return what a window says about the model."""
    raised = [value for key, value in window.raised.items() if key.startswith("performance/")]
    is_known = any(value is not None for value in raised)
    return WindowEvidence(
        name=window.name,
        end=window.end,
        performance=any(raised) if is_known else None,
        concept=window.states.get("concept") == "alarm",
        drift=window.drift,
    )
