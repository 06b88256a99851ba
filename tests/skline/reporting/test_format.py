"""Tests of the format of numbers in reports."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.reporting.format import format_interval, format_number, format_setting, format_tick


@pytest.mark.parametrize(("value", "text"), [(37000.0, "37,000"), (5e6, "5,000,000"), (0.021, "0.021"), (-1.5, "-1.5")])
def test_setting_has_the_digits_that_a_person_wrote(value: float, text: str) -> None:
    assert format_setting(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (0.0, "0.0000"), (0.66812, "0.6681"), (-1.0, "-1.0000"), (12.3456, "12.35"), (999.96, "1000"),
        (21317.0763, "21,320"), (-1752.1722, "-1,752"), (1234567.0, "1,235,000"), (0.00001234, "1.23e-05"),
    ],
)  # fmt: skip
def test_number_has_four_significant_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15))
def test_formatted_number_is_the_number_to_four_digits(value: float) -> None:
    assert math.isclose(float(format_number(value).replace(",", "")), value, rel_tol=1e-3 if abs(value) > 0.1 else 0.06)
    assert format_number(abs(value), signed=True).startswith("+")


def test_interval_has_signs_if_signed() -> None:
    assert format_interval(-0.01, 42278.1) == "-0.0100 to 42,280"
    assert format_interval(-0.01, 42278.1, signed=True) == "-0.0100 to +42,280"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25"), (500, "500"), (9000, "9000"), (40_000, "40k"), (-400_000, "-400k"), (1.5e6, "1.5M"), (2e9, "2G"),
     (999.6, "1000"), (9_999.7, "10k"), (-999_999, "-1M"), (999_600_000, "1G")],
)  # fmt: skip
def test_tick_is_short(value: float, text: str) -> None:
    assert format_tick(value) == text
