"""The last step of a pipeline is scored by its plan where that is exact to the bit, and by itself everywhere else."""

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skline.scoring.equality import scores_equal
from skline.scoring.final_estimator import FinalEstimatorScorer
from skline.scoring.pipeline_scorer import frame_scorer
from skline.scoring.reference import score_estimator
from skline.scoring.scores import UnsupportedStep

FEATURES = 4
#: Numbers of every size, NaN and both zeros; forests reject values beyond float32.
NUMBERS = st.floats(-1e30, 1e30) | st.sampled_from([0.0, -0.0, float("nan"), 5e-324, 1.0, 2.0])
TABLES = arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(FEATURES)), elements=NUMBERS)


def table(rows: int = 300) -> Any:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(rows, FEATURES)).round(2)
    data[:, 3] = rng.integers(0, 5, rows)
    data[rng.random(rows) < 0.1, 0] = np.nan
    return data


def fitted(estimator: Any, classes: int = 2) -> Any:
    data = table()
    filled = np.nan_to_num(data)
    target = (filled[:, 0] + filled[:, 3] > 1).astype(int) if classes == 2 else (filled[:, 3] % classes).astype(int)
    return estimator.fit(data, target)


def calibrated_with_threshold() -> Any:
    trees = fitted(HistGradientBoostingClassifier(max_iter=8, categorical_features=[3]))
    calibrated = fitted(CalibratedClassifierCV(FrozenEstimator(trees), method="isotonic"))
    return fitted(FixedThresholdClassifier(FrozenEstimator(calibrated), threshold=0.3, response_method="predict_proba"))


ESTIMATORS = {
    "boosting": fitted(HistGradientBoostingClassifier(max_iter=8)),
    "three classes": fitted(HistGradientBoostingClassifier(max_iter=8), 3),
    "regression": fitted(HistGradientBoostingRegressor(max_iter=8)),
    "categories, calibration and a threshold": calibrated_with_threshold(),
    "forest": fitted(RandomForestClassifier(n_estimators=9, random_state=0)),
    "forest of three": fitted(RandomForestClassifier(n_estimators=9, random_state=0), 3),
    "forest of numbers": fitted(RandomForestRegressor(n_estimators=9, random_state=0)),
}


def final_estimator_scorer(estimator: Any) -> FinalEstimatorScorer:
    """Return a scorer of the estimator as the last step of a pipeline."""
    return FinalEstimatorScorer(estimator, FEATURES, partial(score_estimator, estimator))


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(max_examples=40)
@given(data=TABLES)
def test_plan_equals_the_estimator_to_the_bit(name: str, data: Any) -> None:
    estimator = ESTIMATORS[name]
    step = final_estimator_scorer(estimator)
    step.score(table(20))
    assert step.uses_plan
    assert scores_equal(score_estimator(estimator, data), step.score(data), "bits")


def test_estimator_is_not_called_after_the_first_array(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = clone(ESTIMATORS["boosting"])
    fitted(estimator)
    step, data = final_estimator_scorer(estimator), table(20)
    expected = step.score(data)
    monkeypatch.setattr(estimator, "predict", lambda _: pytest.fail("it was called"))
    assert scores_equal(expected, step.score(data), "bits")


def test_unsupported_data_is_scored_by_the_estimator() -> None:
    from scipy.sparse import csr_array

    estimator = ESTIMATORS["forest"]
    step = final_estimator_scorer(estimator)
    step.score(table(20))
    filled = np.nan_to_num(table(20))
    for data in (filled.astype(np.float32), csr_array(filled), filled.tolist(), filled[:, ::-1].copy(order="F")):
        assert scores_equal(score_estimator(estimator, data), step.score(data), "bits")
    for wrong in (filled[:, :3], filled[:0]):
        with pytest.raises(ValueError, match=r"features|minimum of 1"):
            step.score(wrong)


def test_unsupported_data_is_scored_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = clone(ESTIMATORS["forest"])
    fitted(estimator)
    score = frame_scorer(Pipeline([("numbers", FunctionTransformer(np.float32)), ("model", estimator)]))
    data = np.nan_to_num(table(20))
    expected = score_estimator(estimator, data.astype(np.float32))
    monkeypatch.setattr(estimator, "predict", lambda _: pytest.fail("it was called twice"))
    assert scores_equal(expected, score(data), "bits")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_that_the_estimator_rejects_are_rejected() -> None:
    step = final_estimator_scorer(ESTIMATORS["forest"])
    step.score(table(20))
    for extreme in (np.inf, 1e300):
        data = table(20)
        data[7, 1] = extreme
        for score in (step.score, ESTIMATORS["forest"].predict):
            with pytest.raises(ValueError):  # noqa: PT011 - the messages differ
                score(data)


def test_plan_with_different_results_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    estimator = ESTIMATORS["boosting"]
    step, data = final_estimator_scorer(estimator), table(20)
    monkeypatch.setattr(
        "skline.scoring.estimators.base.BinaryLink.batch_scores",
        lambda _, margins: score_estimator(estimator, data[::-1]),
    )
    with caplog.at_level(logging.WARNING):
        assert scores_equal(score_estimator(estimator, data), step.score(data), "bits")
    assert not step.uses_plan
    assert "HistGradientBoostingClassifier is not used: its results differ" in caplog.text
    assert scores_equal(score_estimator(estimator, data), step.score(data), "bits")


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(np.nan_to_num(table()), np.arange(300) % 2),
        Ridge().fit(np.nan_to_num(table()), np.arange(300.0)),
        KNeighborsClassifier().fit(np.nan_to_num(table()), np.arange(300) % 2),
        GradientBoostingClassifier(n_estimators=3, init=LogisticRegression()).fit(
            np.nan_to_num(table()), np.arange(300) % 2
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_estimator_without_an_exact_plan_is_unsupported(estimator: Any) -> None:
    with pytest.raises(UnsupportedStep):
        final_estimator_scorer(estimator)
