"""Bootstrap intervals cover the truth as often as they state, and comparisons of equals are seldom significant."""

import numpy as np
import pytest
from scipy.stats import norm

from skline.evaluation.bootstrap import confidence_intervals, paired_difference
from skline.evaluation.resampling import BinarySample, MulticlassSample, RegressionSample, Sample

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


def full_and_subset_intervals(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> dict[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Return each metric's interval from resamples of all rows, and from resamples of subsets."""
    subsets = confidence_intervals(sample, 1_000, 5)
    monkeypatch.setattr("skline.evaluation.bootstrap.SUBSET_ROWS", sample.size)
    full = confidence_intervals(sample, 1_000, 6)
    return {name: (full[name] or (0, 0), subsets[name] or (0, 0)) for name in full if name != "ece"}


def assert_equal_intervals(intervals: dict[str, tuple[tuple[float, float], tuple[float, float]]]) -> None:
    """The ends differ by less than a quarter of the half-width, the widths by less than 15 %, as chance allows."""
    for name, (full, subsets) in intervals.items():
        half_width = (full[1] - full[0]) / 2
        assert subsets == pytest.approx(full, abs=0.25 * half_width), name
        assert (subsets[1] - subsets[0]) / (full[1] - full[0]) == pytest.approx(1, abs=0.15), name


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_subsets_of_many_rows_give_the_intervals_of_all_rows(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(11)
    truth = random.random(60_000) < share
    scores = norm.cdf(random.normal(-1, 1, len(truth)) + truth)
    assert_equal_intervals(full_and_subset_intervals(BinarySample(truth, scores, 0.4), monkeypatch))


@pytest.mark.slow
def test_subsets_give_the_intervals_of_several_classes_and_of_skewed_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(12)
    truth = random.choice(3, 30_000, p=[0.6, 0.3, 0.1])
    margins = random.normal(0, 1, (len(truth), 3)) + np.eye(3)[truth] * 1.5
    probabilities = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    classes = MulticlassSample(truth, probabilities, np.arange(3))
    with monkeypatch.context() as patch:
        assert_equal_intervals(full_and_subset_intervals(classes, patch))
    numbers = random.normal(100, 20, 60_000)
    errors = random.lognormal(0, 1, len(numbers)) * random.choice([-1, 1], len(numbers))
    assert_equal_intervals(full_and_subset_intervals(RegressionSample(numbers, numbers + errors), monkeypatch))


def test_subsets_give_intervals_that_cover_the_true_difference_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skline.evaluation.bootstrap.SUBSET_ROWS", 500)
    monkeypatch.setattr("skline.evaluation.bootstrap.SUBSET_CLASS_ROWS", 100)
    random = np.random.default_rng(13)
    true, covered = true_auc(1.0) - true_auc(0.8), 0
    for seed in range(300):
        difference = paired_difference(*pair(random, 1.0, 0.8, 2_000), "roc_auc", RESAMPLES, seed)
        assert difference is not None
        covered += difference.low <= true <= difference.high
    print(f"seed 13: the true difference is in {covered / 300:.1%} of intervals")
    assert 0.92 <= covered / 300 <= 0.98


def test_a_rare_class_has_enough_rows_in_each_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    take = BinarySample.take

    def count(sample: BinarySample, rows: np.ndarray) -> BinarySample:
        drawn.append(len(rows))
        return take(sample, rows)

    monkeypatch.setattr(BinarySample, "take", count)
    scores = np.linspace(0, 1, 100_000)
    confidence_intervals(BinarySample(scores > 0.98, scores, 0.5), 20, 1)
    assert set(drawn) == {25_000}  # 500 of 2 %
    drawn.clear()
    confidence_intervals(BinarySample(scores > 0.9999, scores, 0.5), 20, 1)
    assert drawn == []  # a class of ten rows: all rows are resampled
