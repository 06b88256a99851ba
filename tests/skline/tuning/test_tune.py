"""Tuning on the validation part: calibration where it helps, the threshold by an objective, the interval."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from skline.errors import SklineError
from skline.scoring.reference import score_frame
from skline.settings.training import Objective
from skline.tuning.calibration import Method, calibrate
from skline.tuning.conformal import conformal_interval
from skline.tuning.threshold import objective_value, set_threshold
from skline.tuning.tune import clone_untuned, recalibrate, remove_tuning, threshold_of, tune
from tests.fixtures import demo

RANDOM = np.random.default_rng(5)


def overconfident_model(n: int) -> tuple[GaussianNB, np.ndarray, np.ndarray]:
    """Return a model that counts the same evidence five times, and rows that it was not fitted on."""
    truth = RANDOM.random(n) < 0.3
    X = np.repeat((truth + RANDOM.normal(0, 1.5, n))[:, None], 5, axis=1)
    half = n // 2
    return GaussianNB().fit(X[:half], truth[:half]), X[half:], truth[half:]


def test_calibration_is_used_where_it_helps_and_the_record_has_the_reason() -> None:
    model, X, truth = overconfident_model(8_000)
    fit, held_out = slice(0, 2_000), slice(2_000, None)
    calibrated, record = calibrate(model, X[fit], truth[fit], "auto", seed=1)
    before, after = (
        sk.brier_score_loss(truth[held_out], m.predict_proba(X[held_out])[:, 1]) for m in (model, calibrated)
    )
    assert record.method != "off"
    assert "gains beyond chance" in record.reason
    assert after < before - 0.02


def test_a_calibrated_model_is_not_changed() -> None:
    truth = RANDOM.random(4_000) < 0.3
    model = DummyClassifier(strategy="prior").fit(truth[:2_000, None], truth[:2_000])
    same, record = calibrate(model, truth[2_000:, None], truth[2_000:], "auto", seed=1)
    assert (same, record.method) == (model, "off")


def test_too_few_rows_or_missing_probabilities_prevent_calibration() -> None:
    model, X, truth = overconfident_model(600)
    assert "too few" in calibrate(model, X, truth, "auto", seed=1)[1].reason
    svm = LinearSVC().fit(X, truth)
    assert calibrate(svm, X, truth, "auto", seed=1)[0] is svm
    with pytest.raises(SklineError, match="LinearSVC has no probabilities to calibrate"):
        calibrate(svm, X, truth, "isotonic", seed=1)
    with pytest.raises(SklineError, match="LinearSVC has no probabilities; remove train.threshold"):
        set_threshold(svm, X, truth, True, 0.3)


@pytest.mark.parametrize(
    "objective",
    [
        Objective(objective="fbeta", beta=2),
        Objective(objective="cost", false_positive=1, false_negative=4),
        Objective(objective="recall", floor=0.9),
    ],
    ids=lambda objective: objective.objective,
)
def test_the_threshold_is_optimal_by_its_objective_on_the_rows_it_is_set_on(objective: Objective) -> None:
    model, X, truth = overconfident_model(3_000)
    names = np.where(truth, "yes", "no")
    model.fit(X, names)
    fixed, record = set_threshold(model, X, names, "yes", objective)
    probabilities = model.predict_proba(X)[:, 1]

    def value(threshold: float) -> float:
        predicted = probabilities >= threshold
        if objective.objective == "fbeta":
            return float(sk.fbeta_score(truth, predicted, beta=2, zero_division=0))
        if objective.objective == "cost":
            return -float((1 * (predicted & ~truth) + 4 * (~predicted & truth)).mean())
        return float(sk.precision_score(truth, predicted)) if sk.recall_score(truth, predicted) >= 0.9 else -1.0

    assert record.score == pytest.approx(value(record.value))
    assert record.score == pytest.approx(max(value(each) for each in np.unique(probabilities)[::15]), rel=0.02)
    assert np.array_equal(fixed.predict(X) == "yes", probabilities >= record.value)
    assert record.objective.startswith(objective.describe())


def test_a_tuned_pipeline_has_the_same_steps_predicts_by_its_threshold_and_can_be_unwrapped() -> None:
    validation, test = demo.parts()["validation"], demo.parts()["test"][demo.contract().input_names]
    tuned, record = tune(
        demo.pipeline(), validation, demo.contract(), method="sigmoid", threshold=0.3, level=0.9, seed=1
    )
    scores = score_frame(tuned, test)
    assert type(tuned) is Pipeline
    assert list(tuned.named_steps) == list(demo.pipeline().named_steps)
    assert scores.probabilities is not None
    assert np.array_equal(scores.predictions, scores.probabilities[:, 1] >= 0.3)
    assert threshold_of(tuned) == record.threshold.value == 0.3  # type: ignore[union-attr]
    assert threshold_of(demo.pipeline()) == 0.5
    assert remove_tuning(tuned)[-1] is demo.pipeline()[-1]
    copy = clone_untuned(tuned, seed=3)
    assert copy.get_params()["model__random_state"] == 3
    assert not hasattr(copy[-1], "classes_")


def regression_tables() -> dict[str, tuple[pd.DataFrame, np.ndarray, object]]:
    flights = pd.read_csv(demo.FLIGHTS, usecols=["air_time", "distance", "hour", "month", "day"]).dropna()
    friedman, friedman_target = make_friedman1(8_000, noise=1.0, random_state=1)
    diabetes = load_diabetes(as_frame=True)
    trees = HistGradientBoostingRegressor(max_iter=40, random_state=1)
    return {
        "time in the air": (flights.drop(columns="air_time"), flights["air_time"].to_numpy(), trees),
        "five terms": (pd.DataFrame(friedman), friedman_target, trees),
        "diabetes": (diabetes.data, diabetes.target.to_numpy(), Ridge(alpha=0.1)),
    }


@pytest.mark.parametrize("name", ["time in the air", "five terms", "diabetes"])
def test_intervals_at_the_90_percent_level_cover_88_to_92_percent_of_held_out_rows(name: str) -> None:
    X, y, model = regression_tables()[name]
    inside, total = 0, 0
    # A small table is divided repeatedly until some thousands of rows were held out.
    for seed in range(1 if len(y) > 5_000 else 60):
        order = np.random.default_rng(seed).permutation(len(y))
        fit, calibrate_on, held_out = np.split(order, [int(0.5 * len(y)), int(0.75 * len(y))])
        model.fit(X.iloc[fit], y[fit])  # type: ignore[attr-defined]
        interval = conformal_interval(y[calibrate_on], model.predict(X.iloc[calibrate_on]), 0.9)  # type: ignore[attr-defined]
        assert interval is not None
        errors = np.abs(model.predict(X.iloc[held_out]) - y[held_out])  # type: ignore[attr-defined]
        inside, total = inside + int((errors <= interval.half_width).sum()), total + len(held_out)
    assert 0.88 <= inside / total <= 0.92


def test_an_interval_needs_enough_rows_for_its_level() -> None:
    errors = np.arange(9.0)
    assert conformal_interval(errors, np.zeros(9), 0.9).half_width == 8.0  # type: ignore[union-attr]
    assert conformal_interval(errors[:8], np.zeros(8), 0.9) is None


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_weights_of_whole_numbers_tune_as_repeated_rows(method: Method) -> None:
    model, X, truth = overconfident_model(4_000)
    counts = np.random.default_rng(6).integers(1, 4, len(X))
    repeated = np.repeat(X, counts, axis=0), np.repeat(truth, counts)
    objective = Objective(objective="cost", false_positive=1, false_negative=4)
    weighted = calibrate(model, X, truth, method, 1, counts.astype(np.float64))[0]
    by_rows = calibrate(model, *repeated, method, 1)[0]
    np.testing.assert_allclose(weighted.predict_proba(X), by_rows.predict_proba(X), atol=1e-6)
    predicted = model.predict(X)
    assert objective_value(
        truth, predicted, positive=True, objective=objective, weights=counts.astype(np.float64)
    ) == pytest.approx(objective_value(repeated[1], model.predict(repeated[0]), positive=True, objective=objective))


def test_weights_move_calibration_and_threshold_to_the_rows_that_count() -> None:
    model, X, truth = overconfident_model(8_000)
    weights = np.where(truth, 3.0, 1.0)
    plain, weighted = (calibrate(model, X, truth, "sigmoid", 1, each)[0] for each in (None, weights))
    assert weighted.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.1
    assert calibrate(model, X, truth, "auto", 1, weights)[1].method != "off"
    objective = Objective(objective="fbeta", beta=1)
    low, high = (set_threshold(model, X, truth, True, objective, each)[1].value for each in (weights, 1 / weights))
    assert low < high


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_interval_by_equal_weights_is_that_without_weights(errors: list[float], level: float) -> None:
    truth = np.array(errors)
    plain, weighted = (
        conformal_interval(truth, np.zeros(len(truth)), level, each) for each in (None, np.full(len(truth), 0.5))
    )
    assert (plain is None) == (weighted is None)
    if plain is not None and weighted is not None:
        assert weighted.half_width == pytest.approx(plain.half_width)


def test_recalibration_keeps_the_fit_and_follows_recent_rows() -> None:
    rows, contract = demo.parts()["validation"], demo.contract()
    tuned, _ = tune(demo.pipeline(), rows, contract, method="sigmoid", threshold=0.3, level=0.9, seed=1)
    recent = rows.assign(late=rows["late"] | (np.arange(len(rows)) % 3 == 0))
    again, record = recalibrate(tuned, recent, contract, method="sigmoid", threshold=0.4, level=0.9, seed=1)
    assert remove_tuning(again)[-1] is remove_tuning(tuned)[-1]
    mean = again.predict_proba(recent[contract.input_names])[:, 1].mean()
    assert mean == pytest.approx(recent["late"].mean(), abs=0.02)
    assert record.threshold is not None
    assert record.threshold.value == 0.4
