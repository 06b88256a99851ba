"""Bootstrap intervals cover the truth as often as they state, and comparisons of equals are seldom significant."""

import numpy as np
import pytest
from scipy.stats import norm

from skline.evaluation.bootstrap import confidence_intervals, paired_difference
from skline.evaluation.resampling import BinarySample

SIMULATIONS, ROWS, RESAMPLES = 1_000, 300, 400


def pair(
    random: np.random.Generator, first: float, second: float, rows: int = ROWS
) -> tuple[BinarySample, BinarySample]:
    """Return two models on the same rows; each raises its score by its shift where the truth is positive."""
    truth = np.arange(rows) % 2 == 0
    noise = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], rows).T
    return (
        BinarySample(truth, norm.cdf(noise[0] + first * truth), 0.5),
        BinarySample(truth, norm.cdf(noise[1] + second * truth), 0.5),
    )


def true_auc(shift: float) -> float:
    """Return the area under the ROC curve of normal scores that are `shift` apart."""
    return float(norm.cdf(shift / np.sqrt(2)))


def test_interval_covers_the_true_difference_in_93_to_97_percent_of_simulations() -> None:
    random = np.random.default_rng(1)
    true = true_auc(1.0) - true_auc(0.8)
    covered = 0
    for seed in range(SIMULATIONS):
        difference = paired_difference(*pair(random, 1.0, 0.8), "roc_auc", RESAMPLES, seed)
        assert difference is not None
        covered += difference.low <= true <= difference.high
    assert 0.93 <= covered / SIMULATIONS <= 0.97


def test_few_of_1000_comparisons_of_equal_models_show_an_improvement() -> None:
    """One end of a 95 % interval: 2.5 % by chance; with 1,000 simulations up to 4 % (3 sigma)."""
    random = np.random.default_rng(2)
    improved = 0
    for seed in range(SIMULATIONS):
        difference = paired_difference(*pair(random, 0.9, 0.9), "roc_auc", RESAMPLES, seed)
        assert difference is not None
        improved += difference.low > 0
    assert improved / SIMULATIONS <= 0.04


def test_a_difference_above_zero_is_better_whichever_direction_the_metric_has() -> None:
    good, bad = pair(np.random.default_rng(3), 2.0, 0.2, 2_000)
    for metric in ("roc_auc", "brier", "log_loss"):
        difference = paired_difference(good, bad, metric, 200, 1)
        assert difference is not None
        assert 0 < difference.low < difference.value < difference.high


def test_intervals_depend_on_the_seed_and_not_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = pair(np.random.default_rng(4), 1, 1)
    first = confidence_intervals(model, 200, 7)
    monkeypatch.setattr("skline.evaluation.bootstrap.BLOCK_ROWS", 1_000)
    again = confidence_intervals(model, 200, 7)
    assert {name: pytest.approx(ends) for name, ends in first.items()} == again
    assert confidence_intervals(model, 200, 8) != again


def test_no_interval_where_too_many_resamples_have_no_value() -> None:
    truth = np.arange(40) == 0  # one positive row: a third of the resamples have none
    model = BinarySample(truth, np.linspace(0, 1, 40), 0.5)
    assert confidence_intervals(model, 200, 1)["roc_auc"] is None
    assert paired_difference(model, model, "roc_auc", 200, 1) is None
    assert confidence_intervals(model, 200, 1)["brier"] is not None
