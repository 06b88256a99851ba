"""The order of events: each row once, at its time; its label after the delay; decisions at fixed moments."""

import datetime as dt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skline.clock import EPOCH, MICROSECOND
from skline.retraining.replay.timeline import TICK, Schedule, steps

START = dt.datetime(2013, 7, 1, tzinfo=dt.UTC)
HOURS = st.integers(1, 400)


def us(moment: dt.datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


@given(st.lists(st.integers(0, 200 * 3600), max_size=60), st.integers(0, 300), st.integers(1, 120))
def test_rows_are_sent_once_in_order_and_labels_follow_after_their_delay(
    seconds: list[int], delay: int, every: int
) -> None:
    times = us(START) + 1_000_000 * np.sort(np.array(seconds, dtype=np.int64))
    schedule = Schedule(START, START + dt.timedelta(hours=201), dt.timedelta(hours=delay), dt.timedelta(hours=every))
    found = list(steps(times, schedule))
    assert [number for step in found for number in step.rows] == list(range(len(times)))
    assert [number for step in found for number in step.labels] == list(range(len(times)))
    assert [step.end for step in found] == sorted({step.end for step in found})
    for step in found:
        for number in step.rows:
            assert us(step.end - TICK) <= times[number] < us(step.end)
        for number in step.labels:
            due = EPOCH + int(times[number]) * MICROSECOND + schedule.label_delay
            assert due <= step.end <= due + TICK
    decided = [step.end for step in found if step.decision is not None]
    assert decided == schedule.decisions
    assert [step.decision for step in found if step.decision is not None] == list(range(len(decided)))


@given(HOURS, HOURS)
def test_decisions_follow_each_period_up_to_the_end(length: int, every: int) -> None:
    schedule = Schedule(START, START + length * TICK, dt.timedelta(days=1), every * TICK)
    moments = schedule.decisions
    assert len(moments) == length // every
    assert all(moment == START + number * every * TICK for number, moment in enumerate(moments, 1))


def test_the_same_rows_and_schedule_give_the_same_steps() -> None:
    times = us(START) + 60_000_000 * np.arange(500)
    schedule = Schedule(START, START + dt.timedelta(hours=9), dt.timedelta(hours=3), dt.timedelta(hours=4))
    assert list(steps(times, schedule)) == list(steps(times.copy(), schedule))
