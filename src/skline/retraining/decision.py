"""Decide whether to train again: a pure function of the evidence, the policy and the time.

A reason is needed, and a blocker always wins. More evidence that the model is worse never turns yes into no.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from skline.settings.monitor import format_duration
from skline.settings.retrain import Retrain

ReasonKind = Literal["person", "performance", "concept", "recovery", "drift", "age", "labels"]
BlockerKind = Literal["lock", "hold", "experiment", "quality", "contract", "labels", "cooldown"]
#: Blockers that a person's reason overrides: what a person knows, such as a corrected table, shows in no count. The
#: others protect the data, a running comparison, another training, or the decision of another person.
OVERRIDDEN: tuple[BlockerKind, ...] = ("labels", "cooldown")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowEvidence(_Value):
    """The findings of monitoring in a window.

    Attributes
    ----------
    performance : bool or None
        Whether the whole interval of a metric is beyond its floor, or beyond the test part less the margin; None if
        there are too few labels to tell.
    concept : bool
        Whether concept drift is an alarm: detected by ADWIN, confirmed by the metric, and persistent.
    drift : float or None
        Importance-weighted drift, between 0 and 1.
    """

    name: str
    end: dt.datetime
    performance: bool | None = None
    concept: bool = False
    drift: float | None = None


class Hold(_Value):
    """A person's decision that nothing is trained before `until`."""

    who: str
    until: dt.datetime
    reason: str


class Evidence(_Value):
    """All that a decision is based on; times are UTC.

    Attributes
    ----------
    windows : tuple of WindowEvidence
        The last windows that do not overlap and have the artifact in service, the newest first; empty if there are
        none, or if they are too old.
    quality_alarm : bool
        Whether the newest window's data quality is an alarm that a training would not end.
    below_since : datetime or None
        Since when the versions in service are worse on their test part than one that served before, by more than the
        margin of monitoring and beyond chance; None if the newest is not.
    new_labels : int
        Matured labels since the last training.
    maturing_labels : int
        Labels of predictions that have not reached the label horizon.
    contract_fault : str or None
        Why none of the new labels can be trained on, as `skline.retraining.usable.find_fault` returns it.
    model_since : datetime or None
        When the model in service was registered.
    last_training : datetime or None
        When the last training ended that begins a cooldown (`Journal.last_cooldown`).
    experiment : str or None
        Name of the running canary, ramp, A/B test or shadow.
    hold : Hold or None
        The last hold that was not ended.
    is_locked : bool
        Whether another process is retraining.
    """

    windows: tuple[WindowEvidence, ...] = ()
    quality_alarm: bool = False
    below_since: dt.datetime | None = None
    new_labels: int = 0
    maturing_labels: int = 0
    contract_fault: str | None = None
    model_since: dt.datetime | None = None
    last_training: dt.datetime | None = None
    experiment: str | None = None
    hold: Hold | None = None
    is_locked: bool = False


@dataclass(frozen=True)
class Policy:
    """The settings, and in how many of the windows a figure must exceed its limit (`monitor.persist`)."""

    settings: Retrain
    persist: int = 2


class Reason(_Value):
    """Why to train."""

    kind: ReasonKind
    message: str


class Blocker(_Value):
    """Why not to train now."""

    kind: BlockerKind
    message: str


class Decision(_Value):
    """Whether to train, with all reasons for it and all blockers, also those that the other ones make irrelevant."""

    retrain: bool
    reasons: tuple[Reason, ...] = ()
    blockers: tuple[Blocker, ...] = ()

    @property
    def sentence(self) -> str:
        """The decision in one line."""
        reasons = "; ".join(each.message for each in self.reasons)
        blockers = "; ".join(each.message for each in self.blockers)
        if self.retrain:
            return f"Train: {reasons}."
        if not self.reasons:
            return "Do not train: there is no reason" + (f" (and {blockers})." if blockers else ".")
        return f"Do not train, although {reasons}: {blockers}."


def decide(evidence: Evidence, policy: Policy, now: dt.datetime, person: str | None = None) -> Decision:
    """Decide whether to train.

    Parameters
    ----------
    evidence : Evidence
    policy : Policy
    now : datetime
        The time of the decision, UTC.
    person : str, optional
        A person's reason, which overrides the blockers in `OVERRIDDEN`.
    """
    reasons = [] if person is None else [Reason(kind="person", message=f"a person asks for it ({person})")]
    reasons += _reasons(evidence, policy, now)
    blockers = [
        each for each in _blockers(evidence, policy, now) if person is None or each.kind not in OVERRIDDEN
    ]  # fmt: skip
    return Decision(retrain=bool(reasons) and not blockers, reasons=tuple(reasons), blockers=tuple(blockers))


def _reasons(evidence: Evidence, policy: Policy, now: dt.datetime) -> Iterator[Reason]:
    settings, windows = policy.settings, evidence.windows
    total = len(windows)

    def persists(is_beyond: Callable[[WindowEvidence], bool]) -> int:
        """Return in how many windows a limit is exceeded; 0 if they are too few."""
        count = sum(map(is_beyond, windows))
        return count if count >= policy.persist else 0

    if settings.performance and (count := persists(lambda each: each.performance is True)):
        yield Reason(kind="performance", message=f"performance is beyond its limit in {count} of {total} windows")
    if settings.concept and windows and windows[0].concept:
        yield Reason(kind="concept", message=f"concept drift is an alarm in {windows[0].name}")
    below = evidence.below_since
    if settings.recovery is not None and below is not None and now - below <= settings.recovery:
        message = f"the versions in service are worse on their test part than one before them, since {below:%Y-%m-%d}"
        yield Reason(kind="recovery", message=message)
    limit = settings.drift
    if limit is not None and (count := persists(lambda each: each.drift is not None and each.drift >= limit)):
        yield Reason(kind="drift", message=f"importance-weighted drift reaches {limit:g} in {count} of {total} windows")
    if settings.max_age is not None and evidence.model_since is not None:
        age = now - evidence.model_since
        if age >= settings.max_age:
            limit_text = format_duration(settings.max_age)
            yield Reason(kind="age", message=f"the model is {age.days} days old, and retrain.max_age is {limit_text}")
    if settings.new_labels is not None and evidence.new_labels >= settings.new_labels:
        yield Reason(kind="labels", message=f"there are {evidence.new_labels:,} matured labels since the last training")


def _blockers(evidence: Evidence, policy: Policy, now: dt.datetime) -> Iterator[Blocker]:
    settings = policy.settings
    if evidence.is_locked:
        yield Blocker(kind="lock", message="another process is retraining")
    if evidence.hold is not None and now < evidence.hold.until:
        hold = evidence.hold
        yield Blocker(
            kind="hold", message=f"{hold.who} put it on hold until {hold.until:%Y-%m-%d %H:%M} ({hold.reason})"
        )
    if evidence.experiment is not None:
        yield Blocker(
            kind="experiment",
            message=f"{evidence.experiment} is running, and compares its challenger with the champion",
        )
    if evidence.quality_alarm:
        yield Blocker(kind="quality", message="data quality is an alarm: a model would learn from broken data")
    if evidence.contract_fault is not None:
        yield Blocker(kind="contract", message=evidence.contract_fault)
    if evidence.new_labels < settings.min_labels:
        message = (
            f"there are {evidence.new_labels:,} matured labels since the last training; {settings.min_labels:,} are "
            "required"
        )
        if evidence.maturing_labels:
            message += f"; {evidence.maturing_labels:,} more are of predictions younger than monitor.label_horizon"
        yield Blocker(kind="labels", message=message)
    if evidence.last_training is not None and now < (end := evidence.last_training + settings.cooldown):
        yield Blocker(
            kind="cooldown",
            message=f"the last training was less than {format_duration(settings.cooldown)} "
            f"ago; the next is possible from {end:%Y-%m-%d %H:%M} on",
        )
