"""Promote the version that a training registered: at once, or after a canary, which later runs of the command finish.

The next step is a pure function of what the journals say. A release is in its own journal before it is in force, and
names `skline retrain` as its reason; so a process that is killed between two steps leaves nothing that the next one
cannot tell, and no step is done twice. An experiment that a person started or changed is left alone.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal, NamedTuple

from skline.release.experiment import Experiment
from skline.release.journal import Entry
from skline.release.journal import Journal as ReleaseJournal
from skline.release.manifest import Release
from skline.retraining.journal import Training

#: How the reason of a release of this command begins, in the journal of releases.
PREFIX = "skline retrain: "
GATES_PASSED, HELD = "Every gate passed.", "a person put retraining on hold"
#: start: begin the canary; promote: serve the version; abort: end the canary, which breached a guard. The others change
#: no release. begun, promoted, rejected: a step that was done and not recorded, or a person's; wait: nothing to do yet.
Action = Literal["start", "promote", "abort", "begun", "promoted", "rejected", "wait"]


class Step(NamedTuple):
    """The next step of a promotion, and what to say about it."""

    action: Action
    message: str


@dataclass(frozen=True)
class CanaryResult:
    """What the guards say about a canary.

    Attributes
    ----------
    breach : str or None
        The guard that it breached, in a service or by the log of all of them.
    checks : int
        How often the guards were checked: 0 as long as an arm has too few observations.
    """

    breach: str | None
    checks: int


def next_step(
    training: Training,
    release: Release | None,
    releases: ReleaseJournal,
    result: CanaryResult | None,
    now: dt.datetime,
    *,
    is_held: bool = False,
) -> Step:
    """Return the next step of a promotion that is not finished.

    Parameters
    ----------
    training : Training
        `Journal.unfinished_promotion`.
    release : Release or None
        The release in force.
    releases : release.journal.Journal
    result : CanaryResult or None
        Of the running canary, if it is the training's (`own_canary`).
    now : datetime
    is_held : bool
        Whether a person put retraining on hold: then nothing is started or promoted.
    """
    if release is None:
        return _step_without_release(training, is_held=is_held)
    if release.champion.sha256 == training.artifact_sha256:
        return Step("promoted", f"release {release.number} serves it")
    own = own_canary(training, release, releases)
    if training.outcome != "canary":
        if own is not None:
            return Step("begun", f"{own.name} is running")
        return _first_step(training, release, is_held=is_held)
    if own is None or result is None:
        return Step("rejected", f"the canary was ended: {_last_change(training, releases)}")
    return _canary_step(training, release, own, result, now, is_held=is_held)


def _step_without_release(training: Training, *, is_held: bool) -> Step:
    if training.promotion == "canary":
        return Step(
            "wait", "nothing is released yet that a canary could be compared with; `skline promote` releases it"
        )
    return Step("wait", HELD) if is_held else Step("promote", GATES_PASSED)


def _first_step(training: Training, release: Release, *, is_held: bool) -> Step:
    if release.champion.sha256 != training.champion_sha256:
        compared = training.champion_sha256 or "no champion"
        return Step(
            "rejected",
            f"it was compared with {compared[:12]}, and the champion is {release.champion.version} now",
        )
    if release.experiment is not None:
        return Step("wait", f"{release.experiment.name} is running, which a person started")
    if is_held:
        return Step("wait", HELD)
    return Step("promote" if training.promotion == "full" else "start", GATES_PASSED)


def _canary_step(
    training: Training, release: Release, canary: Experiment, result: CanaryResult, now: dt.datetime, *, is_held: bool
) -> Step:
    if result.breach is not None:
        return Step("abort", result.breach)
    end = training.promote_at
    if end is None or now < end:
        until = "" if end is None else f" until {end:%Y-%m-%d %H:%M}"
        return Step("wait", f"{canary.name} is running{until}, and no guard is breached")
    if is_held:
        return Step("wait", f"{canary.name} is over, and a person put retraining on hold")
    if not release.flags.challenger:
        return Step("wait", f"{canary.name} gets no requests: the flag `challenger` is off")
    if not result.checks:
        return Step(
            "wait",
            f"{canary.name} is not decided: an arm has fewer than {canary.guards.min_rows:,} observations "
            "(release.guards.min_rows)",
        )
    return Step("promote", f"{canary.name} is over, and no guard was breached in {result.checks:,} checks")


def own_canary(training: Training, release: Release | None, releases: ReleaseJournal) -> Experiment | None:
    """Return the running canary of a training; None if there is none, or a person started or changed it."""
    experiment = None if release is None else release.experiment
    if release is None or experiment is None or release.challenger is None:
        return None
    if experiment.kind != "canary" or release.challenger.sha256 != training.artifact_sha256:
        return None
    changes = [each for each in releases.entries if _is_of(each, experiment) and each.action != "flag"]
    is_own = bool(changes) and all(each.why.startswith(PREFIX) for each in changes)
    return experiment if is_own else None


def _is_of(entry: Entry, experiment: Experiment) -> bool:
    other = entry.release.experiment
    return other is not None and (other.name, other.salt) == (experiment.name, experiment.salt)


def _last_change(training: Training, releases: ReleaseJournal) -> str:
    """Describe the release that ended or changed the canary of a training."""
    numbers = [
        each.release.number
        for each in releases.entries
        if each.release.challenger is not None and each.release.challenger.sha256 == training.artifact_sha256
    ]
    later = [
        each for each in releases.entries if numbers and each.release.number > numbers[0] and each.action != "flag"
    ]
    if not later:
        return "its release is not in the journal"
    change = later[0]
    return f"release {change.release.number}, {change.action} by {change.who}" + (
        f" ({change.why})" if change.why else ""
    )
