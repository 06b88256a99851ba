"""The bounds of a column as values: the last one that is valid, and the first one beyond it."""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from skline.contract.request_validation import FROM_TEXT
from skline.contract.spec import Column

#: Bound → the direction that leads out of it, and how it is called.
BOUNDS: dict[str, tuple[int, str]] = {
    "minimum": (-1, "at least"),
    "exclusive_minimum": (-1, "greater than"),
    "maximum": (1, "at most"),
    "exclusive_maximum": (1, "less than"),
}
#: The smallest steps between two values.
STEPS: dict[str, Callable[[Any, int], Any]] = {
    "integer": lambda value, direction: value + direction,
    "number": lambda value, direction: float(np.nextafter(value, direction * math.inf)),
    "date": lambda value, direction: value + dt.timedelta(days=direction),
    "datetime": lambda value, direction: value + dt.timedelta(microseconds=direction),
}


def to_value(column: Column, scalar: Any) -> Any:
    """Return a bound, choice or example of the contract as the value of a row: dates are text there."""
    value = FROM_TEXT[column.kind](scalar) if column.kind in FROM_TEXT else scalar
    if column.kind == "integer":
        return int(value)  # a bound may be written as 1.0
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def last_valid(column: Column, bound: str) -> Any:
    """Return the last value that keeps a bound which the column has."""
    value = to_value(column, getattr(column, bound))
    return STEPS[column.kind](value, -BOUNDS[bound][0]) if bound.startswith("exclusive") else value


def first_invalid(column: Column, bound: str) -> Any:
    """Return the first value beyond a bound which the column has."""
    return STEPS[column.kind](last_valid(column, bound), BOUNDS[bound][0])


def present(column: Column) -> list[str]:
    """Return the names of the bounds that the column has."""
    return [bound for bound in BOUNDS if getattr(column, bound) is not None]


def limits(column: Column) -> tuple[Any, Any]:
    """Return the smallest and the largest valid value; None where there is no bound."""
    lowest = [last_valid(column, bound) for bound in present(column) if BOUNDS[bound][0] < 0]
    highest = [last_valid(column, bound) for bound in present(column) if BOUNDS[bound][0] > 0]
    return max(lowest, default=None), min(highest, default=None)
