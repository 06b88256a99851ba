"""Numbers are written so that people can read and compare them, whatever their size."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.numbers import compact, interval, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (0.0, "0.0000"), (0.66812, "0.6681"), (-1.0, "-1.0000"), (12.3456, "12.35"), (999.96, "1000"),
        (21317.0763, "21,320"), (-1752.1722, "-1,752"), (1234567.0, "1,235,000"), (0.00001234, "1.23e-05"),
    ],
)  # fmt: skip
def test_four_digits_count(value: float | None, text: str) -> None:
    assert short(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_what_is_written_is_the_number_to_four_digits(value: float) -> None:
    assert math.isclose(float(short(value).replace(",", "")), value, rel_tol=1e-3 if abs(value) > 0.1 else 0.06)
    assert short(abs(value), signed=True).startswith("+")


def test_an_interval_has_signs_where_asked_for() -> None:
    assert interval(-0.01, 42278.1) == "-0.0100 to 42,280"
    assert interval(-0.01, 42278.1, signed=True) == "-0.0100 to +42,280"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (500, "500"), (9000, "9000"), (40_000, "40k"), (-400_000, "-400k"), (1.5e6, "1.5M"), (2e9, "2G")],
)
def test_an_axis_has_little_room(value: float, text: str) -> None:
    assert compact(value) == text
