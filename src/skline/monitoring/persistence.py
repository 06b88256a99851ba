"""The state of a check from its results in several windows: an alarm needs a limit to be exceeded in 2 of 3 of them.

Windows that overlap have rows in common. Only windows that end before the next one starts count as different.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from skline.monitoring.checks import Check, State


class PastWindow(NamedTuple):
    """An earlier window: its bounds, and for each check by key whether it was raised (None: too few data)."""

    start: dt.datetime
    end: dt.datetime
    raised: Mapping[str, bool | None]


def distinct_windows(history: Sequence[PastWindow], start: dt.datetime, count: int) -> list[PastWindow]:
    """Return the last `count` windows before `start` that do not overlap each other, the newest first."""
    chosen: list[PastWindow] = []
    limit = start
    for window in sorted(history, key=lambda each: each.end, reverse=True):
        if len(chosen) == count:
            break
        if window.end <= limit:
            chosen.append(window)
            limit = window.start
    return chosen


def with_state(check: Check, start: dt.datetime, previous: Sequence[PastWindow], persist: int) -> Check:
    """Return a check with its state, and since when it is raised.

    Parameters
    ----------
    check : Check
    start : datetime
        Of the check's window.
    previous : sequence of PastWindow
        As `distinct_windows` returns them.
    persist : int
        Windows, this one included, in which it must be raised for its full severity.
    """
    if check.raised is None:
        return check.model_copy(update={"state": "insufficient_data"})
    if not check.raised:
        return check.model_copy(update={"state": "ok"})
    since = start
    for window in previous:
        if not window.raised.get(check.key):
            break
        since = window.start
    times = 1 + sum(1 for window in previous if window.raised.get(check.key))
    state: State = check.severity if check.immediate or times >= persist else "warning"
    return check.model_copy(update={"state": state, "since": since})
