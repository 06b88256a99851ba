"""Choose the policy of retraining that the replays of docs/benchmarks/replay.md support, for a table with times.

Projects have no docs/: the texts for people name no page of it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skline.contract.spec import Contract
from skline.feedback import FILLED_KINDS
from skline.init.inference.split import in_words
from skline.settings.monitor import MAX_DURATION, format_duration
from skline.split_rule import time_before

MAX_AGE, COOLDOWN = dt.timedelta(days=28), dt.timedelta(days=7)
#: `source.window` is three times the time from `validation_from` on, and not shorter than 84 days, as for the
#: real tables of the replays: the training part has two thirds of it.
WINDOW_FACTOR, MIN_WINDOW = 3, dt.timedelta(days=84)
#: The longest time from `validation_from` on in the replays.
LONGEST_REPLAYED = dt.timedelta(days=56)


@dataclass(frozen=True)
class Retraining:
    """Settings of the sections `source` and `retrain`; `line` says what they are, `remarks` what a person checks."""

    source: dict[str, Any] = field(default_factory=dict)
    retrain: dict[str, Any] = field(default_factory=dict)
    line: str | None = None
    remarks: tuple[str, ...] = ()


def choose_retraining(split: Mapping[str, Any], newest: dt.datetime | None, now: dt.datetime) -> Retraining:
    """Return alarms and a training every four weeks, with a window if the cuts of the split move.

    Parameters
    ----------
    split : mapping
        The section `split` of params.yaml.
    newest : datetime or None
        The time of the newest row, UTC, without a zone; None if the table has no column of times.
    now : datetime
        UTC, without a zone. A window that no row of an old table would be in is not set.
    """
    if newest is None:
        return Retraining()
    retrain = {"max_age": format_duration(MAX_AGE), "cooldown": format_duration(COOLDOWN)}
    policy = f"`skline retrain` trains after an alarm of the monitoring, and when the model is {MAX_AGE.days} days old"
    cut = split.get("validation_from")
    if not isinstance(cut, str) or not cut.startswith("-"):
        return Retraining({}, retrain, f"{policy}, on all rows")
    evaluated = time_before(cut)
    days = -(-evaluated * WINDOW_FACTOR // dt.timedelta(days=1))
    length = max(MIN_WINDOW, dt.timedelta(days=days))
    window, described = format_duration(length), f"{length.days} days"
    remarks = [_long_cuts(cut, split["test_from"])] if evaluated > LONGEST_REPLAYED else []
    is_old = now - newest > MAX_AGE
    if is_old:
        remarks += _old_table(newest, window, described)
    if is_old or length > MAX_DURATION:
        return Retraining({}, retrain, f"{policy}, on all rows", tuple(remarks))
    return Retraining({"window": window}, retrain, f"{policy}, on the rows of the last {described}", tuple(remarks))


def feedback_remarks(contract: Contract) -> list[str]:
    """Say what callers have to send, or a person has to derive, so that `skline retrain` can learn from predictions.

    It learns from logged requests, which lack the columns that are no inputs: it fills ids and times by itself.
    """
    remarks = []
    for column in (*contract.with_role("group"), *contract.with_role("id")):
        if column.kind not in FILLED_KINDS:
            remarks.append(
                f"before you run `skline retrain`: requests do not contain {column.name!r}. Write a function "
                "prepare_feedback in src/model/source.py that derives it from the inputs, or declare it nullable=True "
                "in src/model/contract.py: without one of them, no training can learn from the predictions"
            )
        elif column.role == "group":
            remarks.append(
                f"for `skline retrain`, callers of /predict name the {column.name!r} of a row in the header "
                "X-Entity-ID: the log keeps a hash of it, which becomes the group. Without it, a training leaves the "
                "row out, unless prepare_feedback in src/model/source.py derives the group"
            )
    return remarks


def _long_cuts(validation: str, test: str) -> str:
    """Return the remark about parts that take long until their rows are trained on."""
    return (
        f"the model does not learn from the newest rows: those of the last {in_words(test)} are the test part, and "
        f"those before them, of up to {in_words(validation)} ago, the validation part. If fewer rows are enough for "
        "these parts, shorten split.test_from and split.validation_from in params.yaml"
    )


def _old_table(newest: dt.datetime, window: str, described: str) -> list[str]:
    """Return the remarks about a table that ended long before the service begins."""
    few_labels = (
        f"before you run `skline retrain`: the table ends on {newest:%Y-%m-%d}, and the labels that the service gets "
        "are newer. The parts are counted back from the newest label, so a training may find no row for the validation "
        "part until the labels span more time than split.test_from"
    )
    no_window = (
        "training is not limited to recent rows (source.window), because few or no rows of a table that ends on "
        f"{newest:%Y-%m-%d} are recent. Set source.window to {window} when the labels span {described}, or for "
        "`skline replay`"
    )
    return [few_labels, no_window]
