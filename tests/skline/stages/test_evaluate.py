"""The test part is judged against a dummy and a linear model; NaN is a failure, not a number."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from skline.errors import SklineError
from skline.evaluation.metrics import expected_calibration_error, multiclass_metrics, regression_metrics
from skline.scoring.answers import Scores
from skline.settings_evaluation import Evaluate
from skline.stages.evaluate import evaluate, judge
from skline.tuning.tune import tune
from tests import demo


@pytest.fixture(scope="module")
def evaluated() -> object:
    parts = demo.parts()
    settings = Evaluate(min_segment_rows=50, baseline_rows=1_000, resamples=100, crossings=(("carrier", "origin"),))
    pipeline, tuning = tune(
        demo.pipeline(), parts["validation"], demo.contract(), method="off", threshold=0.3, level=0.9, seed=1
    )
    return evaluate(pipeline, parts["train"], parts["test"], demo.contract(), settings, seed=1, tuning=tuning)


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
    segments = evaluated.details["segments"]  # type: ignore[attr-defined]
    assert {segment["column"] for segment in segments} == {"carrier", "origin", "month", "carrier × origin"}
    assert all(segment["rows"] >= 50 for segment in segments)
    assert sum(s["rows"] for s in segments if s["column"] == "origin") == len(demo.parts()["test"])


def test_every_metric_has_an_interval_around_it_and_the_details_are_json(evaluated: object) -> None:
    metrics, details = evaluated.metrics, evaluated.details  # type: ignore[attr-defined]
    assert json.loads(json.dumps(details, allow_nan=False))["metric"] == "roc_auc"
    for name, (low, high) in details["intervals"]["model"].items():
        assert low <= high
        if name != "ece":  # resampling can only add to it
            assert low <= metrics["model"][name] <= high, name
    assert details["threshold"] == 0.3
    assert {each["column"] for each in details["importance"]} == set(demo.contract().input_names)
    assert details["leaks"]["duplicates"]["ids"] == {"flight_id": 0}
    assert details["against"]["dummy"]["value"] == pytest.approx(metrics["model"]["roc_auc"] - 0.5)


def test_seeds_and_a_learning_curve_are_fitted_on_request() -> None:
    parts = demo.parts()
    settings = Evaluate(resamples=100, seeds=2, learning_curve=True, leak_rows=0, importance_rows=0, baseline_rows=500)
    found = evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), settings, seed=1)
    whole = found.metrics["model"]["roc_auc"]
    assert found.details["seeds"]["values"] == pytest.approx([whole, whole])  # this model draws nothing at random
    assert [point["rows"] for point in found.details["learning_curve"]] == [
        *(round(share * len(parts["train"])) for share in (0.1, 0.25, 0.5)), len(parts["train"])
    ]  # fmt: skip
    assert found.details["learning_curve"][-1]["value"] == whole


def test_plots_hold_curves_and_counts(evaluated: object) -> None:
    plots = evaluated.plots  # type: ignore[attr-defined]
    assert {name for name, table in plots.items() if len(table)} == {
        "roc",
        "precision_recall",
        "calibration",
        "confusion",
        "threshold",
    }
    assert plots["confusion"]["rows"].sum() == len(demo.parts()["test"])
    assert plots["calibration"]["rows"].sum() == len(demo.parts()["test"])
    assert (plots["roc"].iloc[[0, -1]].to_numpy() == [[0, 0], [1, 1]]).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_a_failure(broken: float) -> None:
    truth = np.array([True, False])
    scores = Scores(np.array([True, False]), np.array([[0.5, broken], [0.5, 0.5]]))
    with pytest.raises(SklineError, match="not finite"):
        judge(truth, scores, demo.contract(), 0.5)


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
    evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), Evaluate(resamples=100), seed=1)
    pd.testing.assert_frame_equal(parts["test"], before)
