"""Round figures to meaningful digits: further digits vary by chance, or with the arithmetic of another machine."""

import math
from collections.abc import Mapping
from typing import Any

#: Significant digits of a figure of which no interval is known.
SIGNIFICANT_DIGITS = 6
#: Decimals of a baseline's metric, at most: a value that is 0 but for the arithmetic is 0.
MAX_DECIMALS = 15
#: The entry of metrics.json whose intervals are known; the others are baselines.
MODEL = "model"


def round_metrics(metrics: Mapping[str, Any], intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, Any]:
    """Round metrics.json: the model's metrics to less than a hundredth of the half-width of their intervals.

    The baselines' get `SIGNIFICANT_DIGITS`: they do not depend on the model, so neither do their digits.

    Parameters
    ----------
    metrics : mapping
        Name of a model → its metrics; other entries, such as the number of rows, stay as they are.
    intervals : mapping from metric to both ends, or None
        Of the model.
    """
    rounded = dict(metrics)
    for name, values in metrics.items():
        if name == MODEL:
            rounded[name] = {metric: _round_to(value, intervals.get(metric)) for metric, value in values.items()}
        elif isinstance(values, Mapping):
            rounded[name] = {metric: _round_baseline(value) for metric, value in values.items()}
    return rounded


def round_significant(value: Any) -> Any:
    """Round every float in lists and dicts to `SIGNIFICANT_DIGITS`."""
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: round_significant(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [round_significant(each) for each in value]
    return value


def _round_baseline(value: float) -> float:
    rounded: float = round_significant(round(value, MAX_DECIMALS))
    return rounded + 0.0  # not -0.0


def _round_to(value: float, interval: tuple[float, float] | None) -> float:
    half_width = 0.0 if interval is None else (interval[1] - interval[0]) / 2
    if not (half_width > 0 and math.isfinite(half_width)):
        rounded: float = round_significant(value)
        return rounded
    return round(value, 2 - math.floor(math.log10(half_width)))
