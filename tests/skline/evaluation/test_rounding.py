"""Figures are rounded to what they mean, so that another machine's last digits are no difference."""

import numpy as np

from skline.evaluation.rounding import round_metrics, round_significant


def test_metrics_have_the_digits_that_their_interval_gives_a_meaning_to() -> None:
    metrics = {
        "rows": 46_123,
        "model": {"roc_auc": 0.66812345678, "rmse": 6029.987654321, "largest": 1.23456789},
        "linear": {"roc_auc": 0.64444444444, "rmse": 7000.123456, "largest": 2.0},
        "dummy": {"roc_auc": 0.5, "r2": -1e-16},
    }
    intervals = {"roc_auc": (0.66, 0.676), "rmse": (5800.0, 6200.0), "largest": None}
    assert round_metrics(metrics, intervals) == {
        "rows": 46_123,
        "model": {"roc_auc": 0.66812, "rmse": 6030.0, "largest": 1.23457},
        "linear": {"roc_auc": 0.644444, "rmse": 7000.12, "largest": 2.0},
        "dummy": {"roc_auc": 0.5, "r2": 0.0},
    }


def test_digits_of_a_baseline_do_not_depend_on_the_model() -> None:
    """A threshold alone changes the intervals of the model's metrics of classes, and no baseline."""
    metrics = {"model": {"precision": 0.30123}, "linear": {"precision": 0.33219}}
    wide, narrow = (round_metrics(metrics, {"precision": (0.3 - w, 0.3 + w)}) for w in (0.02, 0.004))
    assert wide["linear"] == narrow["linear"]
    assert wide["model"] != narrow["model"]


def test_last_digits_of_another_machine_are_no_difference() -> None:
    random = np.random.default_rng(1)
    for value in random.random(1_000).tolist():
        other = value * (1 + 1e-13)
        intervals = {"f1": (value - 0.01, value + 0.01)}
        one, another = ({"model": {"f1": each}, "linear": {"f1": each}} for each in (value, other))
        assert round_metrics(one, intervals) == round_metrics(another, intervals)


def test_nested_floats_are_rounded_and_other_values_stay() -> None:
    value = {"a": [0.123456789, None, True, 3, "0.123456789"], "b": (1234567.0, 0.0)}
    assert round_significant(value) == {"a": [0.123457, None, True, 3, "0.123456789"], "b": [1234570.0, 0.0]}
