"""The chart of a policy: the metric over time with its intervals, and what happened when."""

import datetime as dt
from collections.abc import Iterator, Sequence
from html import escape

from skline.evaluation.metrics import label_of
from skline.monitoring.report.charts import time_ticks
from skline.reporting.charts import BOTTOM, INK, RIGHT, TOP, WIDTH, Axes, figure
from skline.reporting.format import format_number
from skline.retraining.replay.outcome import Period, PolicyOutcome, ReplayResult

HEIGHT = 240
#: Height of the marks of trainings and alarms.
MARK = 7


def policy_chart(result: ReplayResult, policy: PolicyOutcome) -> str:
    """Return the chart of one policy, on the same scale as those of the others."""
    axes = Axes((result.start.timestamp(), result.end.timestamp()), _range(result), HEIGHT)
    others = [
        axes.line(points, "var(--line)", width=1.2)
        for each in result.policies
        if each is not policy
        for points in _lines(each.periods)
    ]
    own = [axes.line(points, INK) for points in _lines(policy.periods)]
    parts = [axes.frame("", "", time_ticks(*axes.x)), *others, *_bands(axes, policy.periods), *own]
    points = [point for line in _lines(policy.periods) for point in line]
    parts.append(axes.dots(points, 2.5 if len(points) <= 30 else 1.5))
    parts += [_triangle(axes, each.time, filled=each.outcome == "promoted") for each in policy.trainings]
    parts += [_bar(axes, each.time, each.is_true) for each in policy.alarms]
    metric = label_of(result.metric)
    mean = "" if policy.mean.value is None else f", mean {format_number(policy.mean.value)}"
    caption = f"<b>{escape(policy.name)}</b>{mean}."
    return figure("".join(parts), f"{metric} over time: {policy.name}", caption, HEIGHT - 14)


def _range(result: ReplayResult) -> tuple[float, float]:
    """Return the lowest and the highest end of any interval."""
    metrics = [period.metric for policy in result.policies for period in policy.periods]
    ends = [end for each in metrics for end in (each.low, each.value, each.high) if end is not None] or [0.0]
    edge = 0.05 * ((max(ends) - min(ends)) or abs(max(ends)) or 1.0)
    return min(ends) - edge, max(ends) + edge


def _middle(period: Period) -> float:
    return (period.start.timestamp() + period.end.timestamp()) / 2


def _runs(periods: Sequence[Period]) -> Iterator[list[Period]]:
    """Yield the stretches of periods that have a value."""
    run: list[Period] = []
    for period in periods:
        if period.metric.value is not None:
            run.append(period)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _lines(periods: Sequence[Period]) -> list[list[tuple[float, float]]]:
    return [[(_middle(each), each.metric.value or 0.0) for each in run] for run in _runs(periods)]


def _bands(axes: Axes, periods: Sequence[Period]) -> Iterator[str]:
    """Yield the interval of each period as a vertical bar."""
    for each in periods:
        if each.metric.low is not None and each.metric.high is not None:
            ends = [(_middle(each), each.metric.low), (_middle(each), each.metric.high)]
            yield axes.line(ends, "var(--pale-blue)", width=4)


def _triangle(axes: Axes, time: dt.datetime, *, filled: bool) -> str:
    x, _ = axes.position(time.timestamp(), axes.y[0])
    bottom = HEIGHT - BOTTOM
    fill = "var(--orange)" if filled else "var(--paper)"
    x = min(max(x, axes.left), WIDTH - RIGHT)
    return f'<path d="M{x - 4} {bottom}h8l-4 -{MARK}z" fill="{fill}" stroke="var(--orange)" stroke-width="1.2"/>'


def _bar(axes: Axes, time: dt.datetime, is_true: bool | None) -> str:
    x, _ = axes.position(time.timestamp(), axes.y[0])
    colour = "var(--red)" if is_true else "var(--grey)"
    return f'<path d="M{x} {TOP}v{MARK}" stroke="{colour}" stroke-width="3"/>'
