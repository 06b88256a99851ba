"""Parts of datetimes and of times of day, for `TimeFeatures` and for plans; it needs NumPy only.

Each value is computed by itself, from a table of constants where a function such as sine could differ in the last bit
between one value and many, so that a plan repeats the computation exactly.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Part → (smallest value, number of values in a cycle), for the parts that are cyclic.
CYCLES: dict[str, tuple[int, int]] = {
    "month": (1, 12),
    "day": (1, 31),
    "weekday": (0, 7),
    "day_of_year": (1, 366),
    "hour": (0, 24),
    "minute": (0, 60),
}
PARTS = ("year", *CYCLES, "days")


def time_part(stamps: npt.NDArray[np.datetime64], part: str) -> FloatArray:
    """Return one part of datetime64[us] of shape (n,) as float64; NaN where missing."""
    days = stamps.astype("datetime64[D]")
    match part:
        case "year":
            values = days.astype("datetime64[Y]").astype(np.int64) + 1970
        case "month":
            values = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
        case "day":
            values = (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
        case "weekday":
            values = (days.astype(np.int64) + 3) % 7
        case "day_of_year":
            values = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
        case "hour":
            values = (stamps - days).astype("timedelta64[h]").astype(np.int64)
        case "minute":
            values = (stamps - days).astype("timedelta64[m]").astype(np.int64) % 60
        case "days":
            values = days.astype(np.int64)
        case _:
            raise ValueError(f"unknown part {part!r}; choose from {list(PARTS)}")
    numbers: FloatArray = np.where(np.isnat(stamps), np.nan, values.astype(np.float64))
    return numbers


def encode_part(values: FloatArray, part: str, encoding: str) -> list[FloatArray]:
    """Return the float64 columns of shape (n,) that encode a part: itself, or its sine and cosine."""
    if encoding == "ordinal" or part not in CYCLES:
        return [values]
    missing = np.isnan(values)
    index = np.where(missing, 0, values - CYCLES[part][0]).astype(np.int64)
    return [np.where(missing, np.nan, table[index]) for table in cycle_tables(part)]


def cycle_tables(part: str) -> tuple[FloatArray, FloatArray]:
    """Return sine and cosine of each value of a cyclic part, float64 of shape (number of values,)."""
    length = CYCLES[part][1]
    angles = 2 * np.pi * np.arange(length) / length
    return np.sin(angles), np.cos(angles)


def minutes_of_day(X: Any) -> FloatArray:
    """Convert times of day written as hhmm (1530 is 15:30) into minutes since midnight.

    For a FunctionTransformer; X is numeric of shape (n_samples, n_features), and NaN stays NaN.
    """
    hhmm = np.asarray(X, dtype=np.float64)
    hours = np.floor(hhmm / 100)
    minutes: FloatArray = hours * 60 + (hhmm - hours * 100)
    return minutes
