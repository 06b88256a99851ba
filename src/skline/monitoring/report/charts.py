"""Charts of the page: figures over time with releases, and the histograms of a column in window and reference."""

import datetime as dt
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from skline.monitoring.checks import State
from skline.monitoring.data_results import MEASURES, ColumnDrift
from skline.monitoring.report.content import ReleaseMark
from skline.reporting.charts import BOTTOM, GREY, INK, RIGHT, TOP, WIDTH, Axes, figure
from skline.reporting.format import format_tick

#: Height of a small chart over time, and of a histogram.
SMALL, MEDIUM = 150, 210
#: Height of the name of the x axis, which times and bins need none of.
NAME_HEIGHT = 18
#: Categories of a histogram at most; the others are pooled.
MAX_BARS = 10
BAR_HEIGHT, TEXT_WIDTH, MAX_LABEL = 24, 120, 18
COLOURS: dict[State, str] = {
    "ok": "var(--green)", "insufficient_data": "var(--grey)", "warning": "var(--amber)", "alarm": "var(--red)",
}  # fmt: skip
#: Height of a state's bar, so that states can be distinguished without colour.
LEVELS: dict[State, float] = {"ok": 0.25, "insufficient_data": 0.1, "warning": 0.6, "alarm": 1.0}


class Moment(NamedTuple):
    """A figure at a time, with its interval if it has one."""

    time: dt.datetime
    value: float
    low: float | None = None
    high: float | None = None


def over_time(
    moments: Sequence[Moment],
    label: str,
    caption: str,
    *,
    releases: Sequence[ReleaseMark] = (),
    limits: Sequence[tuple[float, str]] = (),
    from_zero: bool = False,
    height: int = SMALL,
) -> str:
    """Return a line over time, its intervals as vertical bars, releases as numbered lines, and dashed limits.

    Parameters
    ----------
    moments : sequence of Moment
        At least one, in the order of time.
    label, caption : str
        As `skline.reporting.charts.figure` takes them.
    releases : sequence of ReleaseMark
    limits : sequence of (value, colour)
    from_zero : bool
        Whether the axis begins at 0.
    height : int
    """
    ends = [end for each in moments for end in (each.value, each.low, each.high) if end is not None]
    ends += [value for value, _ in limits] + ([0.0] if from_zero else [])
    edge = 0.06 * ((max(ends) - min(ends)) or abs(max(ends)) or 1.0)
    times = [each.time.timestamp() for each in moments] + [each.time.timestamp() for each in releases]
    bounds = (min(ends) - (0 if from_zero else edge), max(ends) + edge)
    axes = Axes((min(times), max(times)), bounds, height)
    parts = [axes.frame("", "", time_ticks(*axes.x))]
    parts += [axes.line([(axes.x[0], value), (axes.x[1], value)], colour, "5 4", 1.5) for value, colour in limits]
    parts += [_release_line(axes, each) for each in releases]
    for each in moments:
        if each.low is not None and each.high is not None:
            time = each.time.timestamp()
            parts.append(axes.line([(time, each.low), (time, each.high)], "var(--pale-blue)", width=4))
    points = [(each.time.timestamp(), each.value) for each in moments]
    parts += [axes.line(points), axes.dots(points, 3 if len(points) <= 20 else 2)]
    return figure("".join(parts), label, caption, height - NAME_HEIGHT)


def states_over_time(states: Sequence[tuple[dt.datetime, State]], label: str, caption: str) -> str:
    """Return a bar for each window: the worse its state, the higher."""
    times = [time.timestamp() for time, _ in states]
    axes = Axes((min(times), max(times)), (0, 1), SMALL)
    thick = max(2.0, min(14.0, 0.7 * (WIDTH - axes.left - RIGHT) / len(states)))
    parts = []
    for (_, state), time in zip(states, times, strict=True):
        parts.append(axes.line([(time, 0), (time, LEVELS[state])], COLOURS[state], width=thick))
    for value, text in time_ticks(*axes.x):
        x = axes.position(value, 0)[0]
        parts.append(f'<text x="{x}" y="{SMALL - BOTTOM + 16}" text-anchor="middle">{text}</text>')
    return figure("".join(parts), label, caption, SMALL - NAME_HEIGHT)


def time_ticks(start: float, end: float, about: int = 4) -> list[tuple[float, str]]:
    """Return about so many equally spaced times between two (seconds since 1970) with their labels, UTC."""
    day = 86_400
    pattern = "%H:%M" if end - start < 2 * day else "%d %b" if end - start < 300 * day else "%b %Y"
    middle = (end + start) / 2
    positions = (
        [middle]
        if end - start <= 1
        else [start + (end - start) * (0.06 + 0.88 * step / (about - 1)) for step in range(about)]
    )
    return [(each, dt.datetime.fromtimestamp(each, dt.UTC).strftime(pattern)) for each in positions]


def histograms(column: ColumnDrift, reference: str, other_reference: str = "") -> str:
    """Return the histograms of a column: bars for the reference, a line or narrow bars for the window.

    The caption names `other_reference`, with which this column is compared in place of `reference`.
    """
    label = f"Histograms of {column.column} in {other_reference or reference} and in the window"
    effect = column.effect.value or 0.0
    measure = MEASURES[column.measure]
    verdict = {True: "", False: ": within its limit", None: ": too few rows to tell"}[column.drifted]
    verdict = verdict if column.tested else ": not tested"
    caption = f"<b>{escape(column.column)}</b>, {measure} {effect:.2f}{verdict}."
    caption += f" Grey bars: {escape(other_reference)}." if other_reference else ""
    return _of_numbers(column, label, caption) if column.edges else _of_categories(column, label, caption)


def _of_numbers(column: ColumnDrift, label: str, caption: str) -> str:
    """Draw bins, whose edges are quantiles of the reference, with equal widths."""
    edges = _edge_labels(column)
    shares, references = list(column.shares), list(column.reference_shares)
    has_missing = shares[-1] > 0 or references[-1] > 0
    bins = len(edges) + 1
    missing = (shares[-1], references[-1])
    shares, references = shares[:bins], references[:bins]
    width = bins + (2 if has_missing else 0)
    axes = Axes((0, width), (0, 1.05 * max([*shares, *references, *missing, 0.01])), MEDIUM)
    step = max(1, -(-len(edges) // 4))  # there is room for about four labels
    first = (len(edges) - 1) % step // 2  # as many edges without a label before the first as after the last
    ticks = [(float(index + 1), edges[index]) for index in range(first, len(edges), step)]
    parts = [axes.frame("", "", ticks)]
    parts += [_bar(axes, index, index + 1, share, "var(--line)", GREY) for index, share in enumerate(references)]
    outline = [(0.0, 0.0)]
    for index, share in enumerate(shares):
        outline += [(index, share), (index + 1, share)]
    parts.append(axes.line([*outline, (bins, 0.0)]))
    if has_missing:
        parts.append(_bar(axes, bins + 1, bins + 2, missing[1], "var(--line)", GREY))
        parts.append(axes.line([(bins + 1, 0), (bins + 1, missing[0]), (bins + 2, missing[0]), (bins + 2, 0)]))
        x = axes.position(bins + 1.5, 0)[0]
        parts.append(f'<text x="{min(x, WIDTH - 26)}" y="{MEDIUM - BOTTOM + 16}" text-anchor="middle">missing</text>')
    return figure("".join(parts), label, caption, MEDIUM - NAME_HEIGHT)


def _of_categories(column: ColumnDrift, label: str, caption: str) -> str:
    """Draw a row for each category: the reference as a wide bar, the window as a narrow one on it."""
    rows = [row for row in zip(column.bins, column.shares, column.reference_shares, strict=True) if max(row[1:]) > 0]
    rows.sort(key=lambda row: -max(row[1:]))
    kept, rest = rows[:MAX_BARS], rows[MAX_BARS:]
    most = max([max(row[1:]) for row in kept], default=1.0)
    room = WIDTH - TEXT_WIDTH - 46
    parts = []
    for index, (name, share, reference) in enumerate(kept):
        top = TOP + index * BAR_HEIGHT
        short = name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"
        parts.append(f'<text x="{TEXT_WIDTH - 6}" y="{top + 15}" text-anchor="end">{escape(short)}</text>')
        parts.append(
            f'<rect x="{TEXT_WIDTH}" y="{top + 2}" width="{room * reference / most:.1f}" height="{BAR_HEIGHT - 6}" '
            f'fill="var(--line)" stroke="{GREY}"/><rect x="{TEXT_WIDTH}" y="{top + 7}" '
            f'width="{room * share / most:.1f}" height="{BAR_HEIGHT - 16}" fill="{INK}"/>'
        )
        parts.append(f'<text x="{WIDTH - 42}" y="{top + 15}">{100 * share:.3g} %</text>')
    height = TOP + len(kept) * BAR_HEIGHT
    if rest:  # no bar: they are pooled, and would be the longest one
        shares = (
            f"{100 * sum(row[1] for row in rest):.3g} % in the window, {100 * sum(row[2] for row in rest):.3g} % before"
        )
        parts.append(f'<text x="{WIDTH - 6}" y="{height + 15}" text-anchor="end">{len(rest)} others: {shares}</text>')
        height += BAR_HEIGHT
    return figure("".join(parts), label, caption, height + 6)


def _bar(axes: Axes, start: float, end: float, height: float, fill: str, stroke: str) -> str:
    (left, top), (right, bottom) = axes.position(start, height), axes.position(end, 0)
    return (
        f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width=".8"/>'
    )


def _edge_labels(column: ColumnDrift) -> list[str]:
    """Return the labels of the edges between bins: short numbers, or dates."""
    if column.kind in ("date", "datetime"):
        start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return [f"{start + dt.timedelta(days=edge):%d %b %y}" for edge in column.edges]
    texts = [format_tick(edge) for edge in column.edges]
    if any(first == second for first, second in pairwise(texts)):
        texts = [f"{edge:.5g}" for edge in column.edges]
    return texts


def _release_line(axes: Axes, release: ReleaseMark) -> str:
    x, _ = axes.position(release.time.timestamp(), axes.y[0])
    bottom = axes.height - BOTTOM
    return (
        f'<path d="M{x} {TOP}V{bottom}" stroke="var(--orange)" stroke-width="1.5" stroke-dasharray="2 3"/>'
        f'<text x="{x + 3}" y="{TOP + 10}" class="release">{release.number}</text>'
    )
