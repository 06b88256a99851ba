"""Charts of reports: curves as SVG; values with their intervals, which fit any width, as HTML.

Colours are the variables of style.css, so that charts are readable in light, dark and print.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from skline.reporting.format import format_tick

WIDTH, HEIGHT = 340, 300
#: The margins; the left one grows with the labels of the vertical axis, see `Axes`.
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 42
#: How many characters of a label `LEFT` has room for, and the width of each further one.
LABEL_LENGTH, CHARACTER_WIDTH = 5, 7
INK, GREY, GRID = "var(--blue)", "var(--grey)", "var(--grid)"
#: Colour and dashes of each line, so that lines can be distinguished without colour.
LINES = ((INK, ""), ("var(--orange)", "7 3"), ("var(--green)", "2 3"))

Points = Sequence[tuple[float, float]]


def figure(contents: str, label: str, caption: str, height: int = HEIGHT) -> str:
    """Return an SVG with its texts: `label` for screen readers (text), `caption` below it (HTML)."""
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{contents}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def curve(points: Points, x_name: str, y_name: str, label: str, caption: str, reference: Points = ()) -> str:
    """Return a chart of one line in the unit square, with a dashed reference line."""
    axes = Axes((0, 1), (0, 1))
    dashed = axes.line(reference, GREY, "4 4", 1.5) if reference else ""
    return figure(axes.frame(x_name, y_name) + dashed + axes.line(points), label, caption)


def curves(
    lines: Mapping[str, Points], x: tuple[float, float], mark: float, x_name: str, label: str, caption: str
) -> str:
    """Return a chart of several lines between 0 and 1 with their names, and a vertical line at `mark`."""
    axes = Axes(x, (0, 1))
    parts = [axes.frame(x_name, "")]
    for index, (name, points) in enumerate(lines.items()):
        colour, dash = LINES[index % len(LINES)]
        parts.append(axes.line(points, colour, dash))
        down = TOP + 14 + 17 * index
        start = WIDTH - RIGHT - 100
        parts.append(f'<rect x="{start - 34}" y="{down - 13}" width="134" height="17" class="under"/>')
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="M{start - 30} {down - 4}h24" stroke="{colour}" stroke-width="2" fill="none"{dashed}/>')
        parts.append(f'<text x="{start}" y="{down}">{escape(name)}</text>')
    parts.append(axes.line([(mark, 0), (mark, 1)], GREY, "4 4", 1.5))
    return figure("".join(parts), label, caption)


class Axes:
    """Two linear scales of a chart.

    Attributes
    ----------
    x, y : (float, float)
        The lowest and the highest value of each scale.
    height : int
        Of the chart, in units of the SVG.
    left : int
        The left margin, which has room for the labels of the vertical axis.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], height: int = HEIGHT) -> None:
        self.x, self.y, self.height = _widen(x), _widen(y), height
        self._y_ticks = [(each, format_tick(each)) for each in ticks(*self.y, 5 if height >= HEIGHT else 3)]
        longest = max((len(text) for _, text in self._y_ticks), default=0)
        self.left = LEFT + CHARACTER_WIDTH * max(0, longest - LABEL_LENGTH)

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point is drawn, in units of the SVG."""
        (x0, x1), (y0, y1) = self.x, self.y
        across = self.left + (x - x0) / (x1 - x0) * (WIDTH - self.left - RIGHT)
        down = self.height - BOTTOM - (y - y0) / (y1 - y0) * (self.height - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    def frame(self, x_name: str, y_name: str, x_ticks: Sequence[tuple[float, str]] | None = None) -> str:
        """Return grid, tick labels and names of the axes; `x_ticks` are positions with labels, else round numbers."""
        parts = []
        for value, text in [(each, format_tick(each)) for each in ticks(*self.x)] if x_ticks is None else x_ticks:
            x, y = self.position(value, self.y[0])
            parts.append(f'<path d="M{x} {TOP}V{self.height - BOTTOM}" stroke="{GRID}"/>')
            parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{escape(text)}</text>')
        for value, text in self._y_ticks:
            x, y = self.position(self.x[0], value)
            parts.append(f'<path d="M{self.left} {y}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
            parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{text}</text>')
        middle = (self.left + WIDTH - RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(x_name)}</text>')
        height = (TOP + self.height - BOTTOM) / 2
        parts.append(
            f'<text transform="translate(11 {height}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        )
        return "".join(parts)

    def line(self, points: Points, colour: str = INK, dash: str = "", width: float = 2) -> str:
        """Return a line through points."""
        path = "M" + "L".join("{} {}".format(*self.position(*point)) for point in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'

    def dots(self, points: Points, radius: float = 4, opacity: float = 1) -> str:
        """Return a dot for each point."""
        positions = (self.position(*point) for point in points)
        circles = "".join(f'<circle cx="{x}" cy="{y}" r="{radius}"/>' for x, y in positions)
        return f'<g fill="{INK}" fill-opacity="{opacity}">{circles}</g>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return about so many round numbers between two ends."""
    span = high - low
    power = 10.0 ** (len(f"{int(span / about)}") - 1) if span / about >= 1 else 1.0
    while power > span / about:
        power /= 10
    step = next((power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about), power * 10)
    first = -int(-low / step) if low <= 0 else int(low / step) + (low % step > 0)
    values = [round((first + index) * step, 10) for index in range(about + 3)]
    return [value for value in values if low <= value <= high + step * 1e-9]


class IntervalRow(NamedTuple):
    """One row of `interval_rows`: a value with an interval (or none), and its texts."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    note: str = ""


def interval_rows(rows: Sequence[IntervalRow], label: str, mark: float | None = None) -> str:
    """Return each value as a dot on its interval, all on one scale; `mark` is a dashed vertical line in each."""
    ends = [end for row in rows for end in (row.low, row.value, row.high) if end is not None]
    if not ends:
        return ""
    if mark is not None:
        ends.append(mark)
    low, high = _widen((min(ends), max(ends)))
    edge = (high - low) * 0.03
    low, high = low - edge, high + edge

    def position(value: float) -> str:
        return f"{(value - low) / (high - low) * 100:.2f}%"

    lines = []
    for row in rows:
        track = ""
        if row.low is not None and row.high is not None:
            width = f"{(row.high - row.low) / (high - low) * 100:.2f}%"
            track += f'<i style="left:{position(row.low)};width:{width}"></i>'
        if mark is not None:
            track += f'<u style="left:{position(mark)}"></u>'
        if row.value is not None:
            track += f'<b style="left:{position(row.value)}"></b>'
        lines.append(
            f'<div class="row" role="listitem"><span>{escape(row.label)}</span>'
            f'<span class="track" aria-hidden="true">{track}</span>'
            f'<span class="value">{escape(row.text)}</span><span class="more">{escape(row.note)}</span></div>'
        )
    scale = f"<i>{format_tick(low + edge)}</i><i>{format_tick(high - edge)}</i>"
    lines.append(f'<div class="row scale" aria-hidden="true"><span></span><span>{scale}</span></div>')
    return f'<div class="rows" role="list" aria-label="{escape(label)}">\n' + "\n".join(lines) + "\n</div>"


def _widen(ends: tuple[float, float]) -> tuple[float, float]:
    """Return ends that differ, because a scale needs a length."""
    low, high = ends
    half = max(0.5, 1e-6 * abs(low))  # 0.5 alone is lost in the rounding of a number such as 1e17
    return (low, high) if high > low else (low - half, high + half)
