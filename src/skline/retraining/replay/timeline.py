"""The order of events of a replay: rows are sent when their time comes, labels after their delay, then monitoring.

A pure function of the rows' times and the plan, so that a replay that is interrupted goes on in the same order.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skline.clock import MICROSECOND
from skline.logs.records import from_us, to_us

#: Labels are delivered at the end of the hour in which they come due.
TICK = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Schedule:
    """What the order of events follows from.

    Attributes
    ----------
    start, end : datetime
        Rows of start ≤ time < end are sent, UTC.
    label_delay : timedelta
        Time from a row to its label.
    every : timedelta
        Monitoring and the decision follow each time that this has passed since `start`, up to `end`; at the end itself
        there is only monitoring.
    """

    start: dt.datetime
    end: dt.datetime
    label_delay: dt.timedelta
    every: dt.timedelta

    @property
    def decisions(self) -> list[dt.datetime]:
        """The moments of monitoring and decision, in order."""
        count = (self.end - self.start) // self.every
        return [self.start + number * self.every for number in range(1, count + 1)]


@dataclass(frozen=True)
class Step:
    """One step: rows are sent, then labels delivered, and perhaps the model is monitored.

    Attributes
    ----------
    end : datetime
        What the clock shows after it, UTC.
    rows, labels : range
        Positions of the rows that are sent, and of those whose labels are delivered.
    decision : int or None
        Number of the monitoring and decision at its end, from 0 on.
    """

    end: dt.datetime
    rows: range
    labels: range
    decision: int | None = None


def steps(times: npt.NDArray[np.int64], schedule: Schedule) -> Iterator[Step]:
    """Yield the steps in order; those in which nothing happens are left out.

    Parameters
    ----------
    times : int64 array of shape (n_rows,)
        Microseconds since 1970 of each row, ascending, all between start and end.
    schedule : Schedule
    """
    decisions = {to_us(moment): number for number, moment in enumerate(schedule.decisions)}
    first, delay = to_us(schedule.start), schedule.label_delay // MICROSECOND
    tick = TICK // MICROSECOND
    count = (to_us(schedule.end) + delay - first) // tick + 1
    ends = np.unique([*(first + tick * np.arange(1, count + 1)), *decisions])
    sent = np.searchsorted(times, ends)
    labelled = np.minimum(np.searchsorted(times + delay, ends, side="right"), sent)  # a label follows its prediction
    before_sent = before_labelled = 0
    for end, to_send, to_label in zip(ends.tolist(), sent.tolist(), labelled.tolist(), strict=True):
        rows, labels = range(before_sent, to_send), range(before_labelled, to_label)
        if rows or labels or end in decisions:
            yield Step(from_us(end), rows, labels, decisions.get(end))
        before_sent, before_labelled = to_send, to_label
