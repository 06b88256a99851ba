"""BoostingClassifier and BoostingRegressor: classes of any type, held-out rows, constraints, what they reject."""

from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier, XGBRegressor

from skline.features import BoostingClassifier, BoostingRegressor
from skline.features.boosting import held_out_rows
from skline.stages.train import set_params

FEW: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1}
QUIET = {**FEW, "verbosity": -1}


def table(n: int = 200) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 5, n), rng.normal(size=(n, 2))])
    return X, X[:, 1] + (X[:, 0] == 2) + rng.normal(size=n)


@pytest.mark.parametrize("estimator", [LGBMClassifier(**QUIET), XGBClassifier(**FEW)])
@pytest.mark.parametrize("classes", [(False, True), ("no", "yes"), ("low", "mid", "high"), (3, 7, 9)])
def test_classes_have_any_type(estimator: Any, classes: tuple[Any, ...]) -> None:
    X, signal = table()
    y = np.array(classes)[np.digitize(signal, [0.0, 1.0][: len(classes) - 1])]
    model = BoostingClassifier(estimator, categories=1).fit(X, y)
    assert model.classes_.tolist() == sorted(classes)
    predictions, probabilities = model.predict(X), model.predict_proba(X)
    assert predictions.dtype == y.dtype
    assert probabilities.dtype == np.float64
    assert (model.classes_[probabilities.argmax(axis=1)] == predictions).all()
    assert (predictions == y).mean() > 1.2 / len(classes)


@pytest.mark.parametrize("estimator", [LGBMRegressor(**QUIET, random_state=0), XGBRegressor(**FEW)])
def test_predictions_follow_the_constraints(estimator: Any) -> None:
    X, signal = table()
    model = BoostingRegressor(estimator, categories=1, monotone=(-1, 1)).fit(X, signal)
    grid = np.tile(X[:1], (50, 1))
    grid[:, 1] = np.linspace(-3, 3, 50)
    assert (np.diff(model.predict(grid)) <= 0).all()
    assert model.predict(grid).dtype == np.float64


def test_the_seed_of_training_draws_the_held_out_rows_and_seeds_the_library() -> None:
    X, signal = table()
    model = BoostingClassifier(LGBMClassifier(**QUIET, colsample_bytree=0.5), early_stopping_rounds=3)
    set_params(model, {}, 5)
    first, second = clone(model).fit(X, signal > 0), clone(model).fit(X, signal > 0)
    assert first.estimator_.random_state == 5
    assert (first.predict_proba(X) == second.predict_proba(X)).all()


def test_held_out_rows_are_stratified_and_leave_single_rows_for_training() -> None:
    codes = np.array([0] * 80 + [1] * 20 + [2])
    held_out = held_out_rows(len(codes), codes, 0.1, seed=1)
    assert np.bincount(codes[held_out], minlength=3).tolist() == [8, 2, 0]
    assert held_out_rows(50, None, 0.1, seed=1).sum() == 5


def test_what_cannot_be_fitted_is_named() -> None:
    X, signal = table()
    with pytest.raises(ValueError, match="LogisticRegression is not an estimator of LightGBM"):
        BoostingClassifier(LogisticRegression()).fit(X, signal > 0)
    with pytest.raises(ValueError, match="2 categories and 2 monotone columns are more than 3 columns"):
        BoostingClassifier(LGBMClassifier(**QUIET), categories=2, monotone=(1, 1)).fit(X, signal > 0)
    with pytest.raises(ValueError, match="only the class 'a'"):
        BoostingClassifier(LGBMClassifier(**QUIET)).fit(X, ["a"] * len(X))


@pytest.mark.parametrize("rounds", [None, 3])
@pytest.mark.parametrize("estimator", [LGBMRegressor(**QUIET), XGBRegressor(**FEW)])
def test_rows_of_tiny_weight_do_not_count(estimator: Any, rounds: int | None) -> None:
    X, signal = table()
    odd = np.arange(len(X)) % 2 == 1
    target = np.where(odd, signal, 1_000.0)
    weights = np.where(odd, 1.0, 1e-9)
    plain, weighted = (
        BoostingRegressor(clone(estimator), early_stopping_rounds=rounds, random_state=1)
        .fit(X, target, each)
        .predict(X)
        for each in (None, weights)
    )
    assert abs(weighted.mean() - signal[odd].mean()) < 1
    assert plain.mean() > 50
