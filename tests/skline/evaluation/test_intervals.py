"""Wilson's interval: the ends of extreme shares, and values from the literature."""

import pytest

from skline.evaluation.intervals import wilson_interval


@pytest.mark.parametrize("rows", [1, 7, 9, 12, 1_000, 123_456.7])
def test_the_interval_of_an_extreme_share_ends_exactly_there(rows: float) -> None:
    """A limit of 0 is otherwise exceeded by rounding: `monitor.quality.other_contract` is 0 by default."""
    assert wilson_interval(0.0, rows)[0] == 0.0
    assert wilson_interval(1.0, rows)[1] == 1.0


def test_values_of_newcombe_1998() -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
