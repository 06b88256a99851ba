"""What init asks of a model, a good model of boosted trees can pass, also where a straight line is the truth."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from skline.init.gates import choose_gates


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_trees_may_fall_short_of_a_line(task: str) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(7000, 8))
    score = X @ random.normal(size=8) + 0.5 * random.normal(size=7000)
    y = score > 0 if task == "binary" else score
    short = {
        "binary": lambda model: -roc_auc_score(y[5600:], model.predict_proba(X[5600:])[:, 1]),
        "regression": lambda model: root_mean_squared_error(y[5600:], model.predict(X[5600:])),
    }[task]
    models = {
        "binary": (HistGradientBoostingClassifier(max_iter=80), LogisticRegression()),
        "regression": (HistGradientBoostingRegressor(max_iter=80), Ridge()),
    }[task]
    trees, line = (short(model.fit(X[:5600], y[:5600])) for model in models)
    margin = choose_gates(pd.Series(y), task, 1400)["linear_margin"]  # type: ignore[arg-type]
    assert 0 < trees - line < margin


def test_the_fewer_rows_the_less_is_asked() -> None:
    target = pd.Series([0.0, 10.0] * 50)
    margins = [choose_gates(target, "binary", rows)["linear_margin"] for rows in (30, 100, 1000, 100_000)]
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] == 0.02
    assert choose_gates(target, "regression", 100_000) == {"linear_margin": 1.3}
    assert choose_gates(target, "binary", 30)["dummy"] == "better"
