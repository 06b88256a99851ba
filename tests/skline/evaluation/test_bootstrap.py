"""The paired bootstrap knows the truth as often as it says."""

import numpy as np
import pytest
from scipy.stats import norm

from skline.evaluation.bootstrap import intervals, paired
from skline.evaluation.sampled import Binary

SIMULATIONS, ROWS, RESAMPLES = 1_000, 300, 400


def pair(random: np.random.Generator, first: float, second: float, rows: int = ROWS) -> tuple[Binary, Binary]:
    """Two models on the same rows; each shifts its score by so much where the truth is yes."""
    truth = np.arange(rows) % 2 == 0
    noise = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], rows).T
    return (
        Binary(truth, norm.cdf(noise[0] + first * truth), 0.5),
        Binary(truth, norm.cdf(noise[1] + second * truth), 0.5),
    )


def auc(shift: float) -> float:
    """Of two normal scores that lie so far apart."""
    return float(norm.cdf(shift / np.sqrt(2)))


def test_the_interval_covers_the_true_difference_in_93_to_97_percent() -> None:
    random = np.random.default_rng(1)
    true = auc(1.0) - auc(0.8)
    covered = 0
    for seed in range(SIMULATIONS):
        found = paired(*pair(random, 1.0, 0.8), "roc_auc", RESAMPLES, seed)
        assert found is not None
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / SIMULATIONS <= 0.97


def test_of_1000_comparisons_of_equals_few_are_called_improved() -> None:
    """One end of a 95 % interval: 2.5 % by chance; up to 4 % is what 1,000 draws of that may show (3 sigma)."""
    random = np.random.default_rng(2)
    improved = 0
    for seed in range(SIMULATIONS):
        found = paired(*pair(random, 0.9, 0.9), "roc_auc", RESAMPLES, seed)
        assert found is not None
        improved += found.low > 0
    assert improved / SIMULATIONS <= 0.04


def test_a_difference_is_better_above_zero_whichever_way_the_metric_points() -> None:
    good, bad = pair(np.random.default_rng(3), 2.0, 0.2, 2_000)
    for metric in ("roc_auc", "brier", "log_loss"):
        found = paired(good, bad, metric, 200, 1)
        assert found is not None
        assert 0 < found.low < found.value < found.high


def test_the_same_seed_gives_the_same_interval_and_the_block_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = pair(np.random.default_rng(4), 1, 1)
    first = intervals(model, 200, 7)
    monkeypatch.setattr("skline.evaluation.bootstrap.BLOCK", 1_000)
    again = intervals(model, 200, 7)
    assert {name: pytest.approx(ends) for name, ends in first.items()} == again
    assert intervals(model, 200, 8) != again


def test_a_resample_without_a_value_leaves_no_interval() -> None:
    truth = np.arange(40) == 0  # one yes: a third of the resamples have none
    model = Binary(truth, np.linspace(0, 1, 40), 0.5)
    assert intervals(model, 200, 1)["roc_auc"] is None
    assert paired(model, model, "roc_auc", 200, 1) is None
    assert intervals(model, 200, 1)["brier"] is not None
