"""The conversion of Python dates and datetimes to datetime64[us], compared with NumPy's."""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from skline.scoring.datetimes import to_datetime64


@pytest.mark.parametrize(
    "values",
    [
        [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), dt.date(1969, 12, 31)],
        [dt.datetime(1, 1, 1), None, dt.datetime(9999, 12, 31, 23, 59, 59, 999999)],
        [dt.date(2000, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 1)],
        [None],
        [],
    ],
)
def test_equals_the_conversion_of_numpy(values: list[Any]) -> None:
    expected = np.array(values, dtype="datetime64[us]")
    converted = to_datetime64(values)
    assert converted.dtype == expected.dtype
    assert converted.tobytes() == expected.tobytes()
