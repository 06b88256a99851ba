"""A rule applied to one subject of a window, and the states that follow from it."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Literal, Self

from skline.monitoring.estimates import Estimate, ResultPart

State = Literal["ok", "insufficient_data", "warning", "alarm"]
Part = Literal["quality", "drift", "performance", "concept", "bias", "kpi", "operations"]
#: States from harmless to serious.
STATES: tuple[State, ...] = ("ok", "insufficient_data", "warning", "alarm")
PARTS: tuple[Part, ...] = ("quality", "drift", "performance", "concept", "bias", "kpi", "operations")
#: Exit status of `skline monitor`; 1 means that monitoring itself failed.
EXIT_STATUS: dict[State, int] = {"ok": 0, "insufficient_data": 10, "warning": 10, "alarm": 20}


class Check(ResultPart):
    """One rule applied to one subject.

    Attributes
    ----------
    part, rule, subject : str
        Such as drift, effect, and the name of a column. Together they identify the check between windows.
    raised : bool or None
        Whether the limit is exceeded in this window; None if there are too few data to tell.
    immediate : bool
        The alarm does not wait for a second window.
    severity : {"warning", "alarm"}
        What a check that persists leads to.
    state : State
        After persistence: warning if raised once, `severity` if raised in 2 of 3 windows.
    since : datetime or None
        Start of the first of the consecutive windows in which the check was raised.
    value, low, high, limit : float or None
    rows : int or None
        The number of observations.
    message : str
        What was found, in a sentence.
    """

    part: Part
    rule: str
    subject: str
    raised: bool | None
    immediate: bool = False
    severity: Literal["warning", "alarm"] = "alarm"
    state: State = "ok"
    since: dt.datetime | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    rows: int | None = None
    message: str = ""

    @property
    def key(self) -> str:
        """Identity of the check between windows."""
        return f"{self.part}/{self.rule}/{self.subject}"

    @classmethod
    def of(cls, figure: Estimate, **fields: Any) -> Self:
        """Return a check of a figure: `value`, `low` and `high` are those of the figure, `fields` the others."""
        return cls(value=figure.value, low=figure.low, high=figure.high, **fields)


def is_beyond(figure: Estimate, *, minimum: float | None = None, maximum: float | None = None) -> bool | None:
    """Whether the whole interval lies below `minimum` or above `maximum`; None if the figure has no interval."""
    if figure.low is None or figure.high is None:
        return None
    return (minimum is not None and figure.high < minimum) or (maximum is not None and figure.low > maximum)


def worst(states: Iterable[State]) -> State:
    """Return the most serious state; ok if there is none."""
    return max(states, key=STATES.index, default="ok")
