"""The calibration error: 0 for calibrated models whatever their number of rows, with intervals that hold the truth."""

import numpy as np
import pytest

from skline.evaluation.bootstrap import confidence_intervals, each_row_once
from skline.evaluation.resampling import BinarySample, CalibrationBins

SIMULATIONS = 1_000


def simulate(seed: int, rows: int, shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return error, low and high end in simulations of models whose probabilities are too high by `shift`."""
    random = np.random.default_rng(seed)
    results = []
    for _ in range(SIMULATIONS):
        true_rates = random.uniform(0.05, 0.85, rows)
        bins = CalibrationBins(random.random(rows) < true_rates, true_rates + shift)
        results.append((bins.error, *bins.interval(0.95)))
    error, low, high = np.array(results).T
    return error, low, high


@pytest.mark.parametrize("rows", [200, 1_000, 5_000])
def test_the_interval_of_a_calibrated_model_holds_0_in_95_percent_of_1000_simulations(rows: int) -> None:
    _, low, _ = simulate(91, rows, 0.0)
    print(f"seed 91: {rows} rows, 0 is in {(low == 0).mean():.1%} of intervals")
    assert (low == 0).mean() >= 0.94


@pytest.mark.parametrize(("rows", "shift"), [(300, 0.1), (1_000, 0.05), (5_000, 0.05)])
def test_the_interval_of_a_model_that_is_off_holds_its_error_in_95_percent(rows: int, shift: float) -> None:
    error, low, high = simulate(92, rows, shift)
    held = ((low <= shift) & (shift <= high)).mean()
    print(f"seed 92: {rows} rows, an error of {shift} is in {held:.1%} of intervals")
    assert held >= 0.93
    assert np.mean(error**2) == pytest.approx(shift**2, rel=0.25)


def test_the_square_of_the_error_has_no_bias_for_a_calibrated_model() -> None:
    """The mean gap of ten bins of 20 rows, without the correction, is 0.08 by chance alone."""
    random, squares, gaps = np.random.default_rng(93), [], []
    for _ in range(SIMULATIONS):
        rates = random.uniform(0.1, 0.9, 200)
        bins = CalibrationBins(random.random(200) < rates, rates)
        counts, squared_gaps, noise = bins._squared_gaps(each_row_once(200))
        squares.append(((squared_gaps - noise) * counts).sum() / 200)
        gaps.append((np.sqrt(squared_gaps) * counts).sum() / 200)
    assert np.mean(gaps) > 0.06
    assert abs(np.mean(squares)) < 3 * np.std(squares) / np.sqrt(SIMULATIONS)


def test_the_interval_is_in_the_intervals_of_the_sample() -> None:
    random = np.random.default_rng(94)
    rates = random.uniform(0.1, 0.9, 500)
    sample = BinarySample(random.random(500) < rates, rates, 0.5)
    assert confidence_intervals(sample, 100, 1)["ece"] == sample.bins.interval(0.95)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_few_rows_have_an_error_and_an_interval(rows: int) -> None:
    bins = CalibrationBins(np.ones(rows, dtype=bool), np.full(rows, 0.5))
    low, high = bins.interval(0.95)
    assert 0 <= low <= bins.error <= high
