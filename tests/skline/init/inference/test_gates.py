"""Tests of the chosen gates: boosted trees can pass them, also if the true relation is linear."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from skline.init.inference.gates import choose_gates, choose_monitored_margin


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_linear_margin_covers_the_shortfall_of_trees_on_linear_data(task: str) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(7000, 8))
    score = X @ random.normal(size=8) + 0.5 * random.normal(size=7000)
    y = score > 0 if task == "binary" else score
    loss = {
        "binary": lambda model: -roc_auc_score(y[5600:], model.predict_proba(X[5600:])[:, 1]),
        "regression": lambda model: root_mean_squared_error(y[5600:], model.predict(X[5600:])),
    }[task]
    models = {
        "binary": (HistGradientBoostingClassifier(max_iter=80), LogisticRegression()),
        "regression": (HistGradientBoostingRegressor(max_iter=80), Ridge()),
    }[task]
    trees, linear = (loss(model.fit(X[:5600], y[:5600])) for model in models)
    margin = choose_gates(pd.Series(y), task, 1400)["linear_margin"]  # type: ignore[arg-type]
    assert 0 < trees - linear < margin


def test_gates_are_looser_for_fewer_rows() -> None:
    target = pd.Series([0.0, 10.0] * 50)
    margins = [choose_gates(target, "binary", rows)["linear_margin"] for rows in (30, 100, 1000, 100_000)]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] == 0.02
    assert choose_gates(target, "regression", 100_000) == {
        "linear_margin": 1.3, "champion": {"margin": 0.025, "segment_margin": 0.5}
    }  # fmt: skip
    assert choose_gates(target, "binary", 30)["dummy"] == "better"


def test_champion_margin_depends_on_the_rows_of_the_rarest_class_and_on_the_targets_scale() -> None:
    def margin(target: pd.Series, task: Any, rows: int) -> float:
        return float(choose_gates(target, task, rows)["champion"]["margin"])

    even, rare = pd.Series([False, True] * 50), pd.Series([False] * 95 + [True] * 5)
    assert margin(even, "binary", 1_400) == 0.015
    assert margin(rare, "binary", 1_400) == 0.048
    assert [margin(even, "binary", rows) for rows in (20, 100_000)] == [0.05, 0.005]
    prices = pd.Series(np.arange(100.0))
    assert margin(prices * 1_000, "regression", 1_400) == pytest.approx(1_000 * margin(prices, "regression", 1_400))


def test_monitored_margin_of_a_regression_is_in_units_of_the_target() -> None:
    target = pd.Series(np.random.default_rng(0).normal(0, 600, 5_000))
    assert choose_monitored_margin(target, "regression") == 12
    assert choose_monitored_margin(target > 0, "binary") is None, "the default is for metrics of classes"
