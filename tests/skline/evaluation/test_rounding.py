"""Figures are rounded to what they mean, so that another machine's last digits are no difference."""

import numpy as np

from skline.evaluation.rounding import round_metrics, round_significant


def test_metrics_have_the_digits_that_their_interval_gives_a_meaning_to() -> None:
    metrics = {
        "rows": 46_123,
        "model": {"roc_auc": 0.66812345678, "rmse": 6029.987654321, "largest": 1.23456789},
        "linear": {"roc_auc": 0.64444444444, "rmse": 7000.123456, "largest": 2.0},
    }
    intervals = {"roc_auc": (0.66, 0.676), "rmse": (5800.0, 6200.0), "largest": None}
    assert round_metrics(metrics, intervals) == {
        "rows": 46_123,
        "model": {"roc_auc": 0.66812, "rmse": 6030.0, "largest": 1.23457},
        "linear": {"roc_auc": 0.64444, "rmse": 7000.0, "largest": 2.0},
    }


def test_last_digits_of_another_machine_are_no_difference() -> None:
    random = np.random.default_rng(1)
    for value in random.random(1_000).tolist():
        other = value * (1 + 1e-13)
        intervals = {"f1": (value - 0.01, value + 0.01)}
        assert round_metrics({"linear": {"f1": value}}, intervals) == round_metrics(
            {"linear": {"f1": other}}, intervals
        )


def test_nested_floats_are_rounded_and_other_values_stay() -> None:
    value = {"a": [0.123456789, None, True, 3, "0.123456789"], "b": (1234567.0, 0.0)}
    assert round_significant(value) == {"a": [0.123457, None, True, 3, "0.123456789"], "b": [1234570.0, 0.0]}
