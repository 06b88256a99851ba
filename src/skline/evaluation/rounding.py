"""Round figures to meaningful digits: further digits vary by chance, or with the arithmetic of another machine."""

import math
from collections.abc import Mapping
from typing import Any

#: Significant digits of a figure of which no interval is known.
SIGNIFICANT_DIGITS = 6


def round_metrics(metrics: Mapping[str, Any], intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
    """Round metrics.json: each metric to less than a hundredth of the half-width of the model's interval.

    Parameters
    ----------
    metrics : mapping
        Name of a model → its metrics; other entries, such as the number of rows, stay as they are.
    intervals : mapping from metric to both ends, or None
        Of the model; the baselines' metrics get as many digits.
    """
    return {
        name: {metric: _round_to(value, intervals.get(metric)) for metric, value in values.items()}
        if isinstance(values, Mapping)
        else values
        for name, values in metrics.items()
    }


def round_significant(value: Any) -> Any:
    """Round every float in lists and dicts to `SIGNIFICANT_DIGITS`."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: round_significant(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [round_significant(each) for each in value]
    return value


def _round_to(value: float, interval: tuple[float, float] | None) -> float:
    half_width = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if not (half_width > 0 and math.isfinite(half_width)):
        rounded: float = round_significant(value)
        return rounded
    return round(value, 2 - math.floor(math.log10(half_width)))
