"""What the page shows: the result of a window, the windows before it, and the releases."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from skline.monitoring.result import WindowResult
from skline.monitoring.state import PastResult
from skline.release.journal import Entry

#: Windows that the charts over time show at most.
MAX_WINDOWS = 60


class ReleaseMark(NamedTuple):
    """A release, as charts over time mark it."""

    time: dt.datetime
    number: int
    text: str


@dataclass(frozen=True)
class PageContent:
    """What the page shows.

    Attributes
    ----------
    title : str
        Of the model.
    result : WindowResult
    history : tuple of PastResult
        Windows of the same length up to this one, which is the last of them, oldest first.
    releases : tuple of ReleaseMark
        Oldest first.
    """

    title: str
    result: WindowResult
    history: tuple[PastResult, ...]
    releases: tuple[ReleaseMark, ...] = ()

    @property
    def shown_releases(self) -> list[ReleaseMark]:
        """The releases between the first and the last window of the history."""
        return [each for each in self.releases if self.history[0].start <= each.time <= self.history[-1].end]


def select_history(windows: Iterable[PastResult], newest: PastResult) -> tuple[PastResult, ...]:
    """Return the windows of the same length that end before the newest, and the newest, oldest first.

    Of more than MAX_WINDOWS, the last of each of as many equal periods is returned.
    """
    earlier = [each for each in windows if each.length == newest.length and each.end < newest.end]
    chosen = [*sorted(earlier, key=lambda each: each.end), newest]
    if len(chosen) <= MAX_WINDOWS:
        return tuple(chosen)
    first, span = chosen[0].end, newest.end - chosen[0].end
    by_period = {int((MAX_WINDOWS - 1) * ((each.end - first) / span)): each for each in chosen}
    return tuple(by_period.values())


def release_marks(entries: Iterable[Entry]) -> tuple[ReleaseMark, ...]:
    """Return the marks of the releases of a journal, oldest first."""
    marks = (
        ReleaseMark(each.release.published_at, each.release.number, f"{each.action}: {each.what}") for each in entries
    )
    return tuple(sorted(marks, key=lambda each: each.time))
