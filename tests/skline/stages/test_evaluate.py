"""The test part is judged against a dummy and a linear model; NaN is a failure, not a number."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from skline.errors import SklineError
from skline.evaluation.metrics import expected_calibration_error, multiclass_metrics, regression_metrics
from skline.scoring.answers import Scores
from skline.settings import Evaluate
from skline.stages.evaluate import evaluate, judge
from tests import demo


@pytest.fixture(scope="module")
def evaluated() -> object:
    parts = demo.parts()
    settings = Evaluate(min_segment_rows=50, threshold=0.3, baseline_rows=1_000)
    return evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), settings, seed=1)


def test_metrics_are_those_of_the_test_part(evaluated: object) -> None:
    test = demo.parts()["test"]
    scores = demo.pipeline().predict_proba(test[demo.contract().input_names])[:, 1]
    metrics = evaluated.metrics  # type: ignore[attr-defined]
    assert metrics["rows"] == len(test)
    assert metrics["model"]["roc_auc"] == sk.roc_auc_score(test["late"], scores)
    assert metrics["model"]["f1"] == sk.f1_score(test["late"], scores >= 0.3)
    assert set(metrics) == {"rows", "model", "dummy", "linear"}
    assert metrics["dummy"]["roc_auc"] == 0.5
    assert metrics["model"].keys() == metrics["linear"].keys()


def test_segments_are_judged_by_themselves_where_they_have_enough_rows(evaluated: object) -> None:
    segments = evaluated.segments  # type: ignore[attr-defined]
    assert {segment["column"] for segment in segments} == {"carrier", "origin", "month"}
    assert all(segment["rows"] >= 50 for segment in segments)
    assert sum(s["rows"] for s in segments if s["column"] == "origin") == len(demo.parts()["test"])


def test_plots_hold_curves_and_counts(evaluated: object) -> None:
    plots = evaluated.plots  # type: ignore[attr-defined]
    assert {name for name, table in plots.items() if len(table)} == {
        "roc",
        "precision_recall",
        "calibration",
        "confusion",
    }
    assert plots["confusion"]["rows"].sum() == len(demo.parts()["test"])
    assert plots["calibration"]["rows"].sum() == len(demo.parts()["test"])
    assert (plots["roc"].iloc[[0, -1]].to_numpy() == [[0, 0], [1, 1]]).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_a_failure(broken: float) -> None:
    truth = np.array([True, False])
    scores = Scores(np.array([True, False]), np.array([[0.5, broken], [0.5, 0.5]]))
    with pytest.raises(SklineError, match="not finite"):
        judge(truth, scores, demo.contract(), Evaluate())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_metric_that_is_no_number_is_a_failure() -> None:
    with pytest.raises(SklineError, match="r2"):
        regression_metrics(np.array([1.0]), np.array([1.0]))


def test_regression_metrics_agree_with_their_definitions() -> None:
    truth, said = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    found = regression_metrics(truth, said)
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert (found["mae"], found["median_ae"]) == (1.0, 1.0)


def test_multiclass_metrics_weigh_classes_alike() -> None:
    classes = np.array(["a", "b", "c"])
    truth = np.array(["a", "a", "a", "b", "c"])
    sure = np.eye(3)[[0, 0, 0, 1, 2]]
    found = multiclass_metrics(truth, sure, classes)
    assert (found["roc_auc"], found["accuracy"], found["f1"], found["brier"]) == (1.0, 1.0, 1.0, 0.0)


def test_calibration_error_is_zero_for_true_rates_and_large_for_false_ones() -> None:
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    truth = random.random(20_000) < scores
    assert expected_calibration_error(truth, scores) < 0.02
    assert expected_calibration_error(truth, np.full(20_000, 0.9)) == pytest.approx(0.4, abs=0.02)


def test_an_evaluation_does_not_change_its_tables() -> None:
    parts = demo.parts()
    before = parts["test"].copy()
    evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), Evaluate(), seed=1)
    pd.testing.assert_frame_equal(parts["test"], before)
