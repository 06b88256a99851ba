"""Numbers as people read them: four digits that count, whatever the size."""

from collections.abc import Sequence


def short(value: float | None, *, signed: bool = False) -> str:
    """Write a number: 0.6681, 12.35, 21,320; with its sign if asked for; "none" for None.

    A metric between 0.001 and 10 has four decimals, so that those below each other in a table can be compared.
    """
    if value is None:
        return "none"
    sign = "+" if signed else ""
    size = abs(value)
    if size >= 1000:
        digits = len(str(int(size))) - 4
        return f"{round(value, -digits):{sign},.0f}"
    if size >= 10:
        return f"{value:{sign}.4g}"
    return f"{value:{sign}.4f}" if size >= 0.001 or size == 0 else f"{value:{sign}.3g}"


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """Write the ends of an interval."""
    return f"{short(low, signed=signed)} to {short(high, signed=signed)}"


def between(ends: Sequence[float] | None) -> str:
    """Write the ends of an interval; "none" where there is none."""
    return interval(*ends) if ends else "none"


def compact(value: float) -> str:
    """Write a number in the little room at an axis: 0.25, 500, 40k, 1.5M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= (unit if unit > 1e3 else 1e4):
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
