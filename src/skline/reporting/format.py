"""The format of numbers in reports: four significant digits at any magnitude."""

from collections.abc import Sequence


def format_number(value: float | None, *, signed: bool = False) -> str:
    """Format a number: 0.6681, 12.35, 21,320; "none" for None.

    Numbers between 0.001 and 10 have four decimals, so that they align in a table.
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


def format_setting(value: float) -> str:
    """Format a number of params.yaml with the digits that a person wrote: 0.02, 37,000."""
    return f"{value:,.12g}"


def format_interval(low: float, high: float, *, signed: bool = False) -> str:
    """Format an interval."""
    return f"{format_number(low, signed=signed)} to {format_number(high, signed=signed)}"


def format_optional_interval(ends: Sequence[float] | None) -> str:
    """Format an interval; "none" for None."""
    return format_interval(*ends) if ends else "none"


def format_tick(value: float) -> str:
    """Format a number for an axis, as short as possible: 0.25, 500, 40k, 1.5M."""
    size = abs(float(f"{value:.3g}"))  # 999,999 becomes 1M, not 1e+03k
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= (unit if unit > 1e3 else 1e4):
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}" if size < 1000 else f"{value:.0f}"
