"""Tests of the stage evaluate: metrics, intervals, segments and plots of the test part; NaN is an error."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from skline.errors import SklineError
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate
from skline.stages.evaluate import comparison_metric, evaluate, finite_sample
from skline.tuning.tune import tune
from tests.fixtures import demo


@pytest.fixture(scope="module")
def evaluated() -> object:
    parts = demo.parts()
    settings = Evaluate(min_segment_rows=50, baseline_rows=1_000, resamples=100, crossings=(("carrier", "origin"),))
    pipeline, tuning = tune(
        demo.pipeline(), parts["validation"], demo.contract(), method="off", threshold=0.3, level=0.9, seed=1
    )
    return evaluate(pipeline, parts["train"], parts["test"], demo.contract(), settings, seed=1, tuning=tuning)


def test_metrics_are_computed_on_the_test_part(evaluated: object) -> None:
    test = demo.parts()["test"]
    scores = demo.pipeline().predict_proba(test[demo.contract().input_names])[:, 1]
    metrics = evaluated.metrics  # type: ignore[attr-defined]
    assert metrics["rows"] == len(test)
    assert metrics["model"]["roc_auc"] == sk.roc_auc_score(test["late"], scores)
    assert metrics["model"]["f1"] == sk.f1_score(test["late"], scores >= 0.3)
    assert set(metrics) == {"rows", "model", "dummy", "linear"}
    assert metrics["dummy"]["roc_auc"] == 0.5
    assert metrics["model"].keys() == metrics["linear"].keys()


def test_segments_with_enough_rows_have_metrics(evaluated: object) -> None:
    segments = evaluated.details["segments"]  # type: ignore[attr-defined]
    assert {segment["column"] for segment in segments} == {"carrier", "origin", "month", "carrier × origin"}
    assert all(segment["rows"] >= 50 for segment in segments)
    assert sum(s["rows"] for s in segments if s["column"] == "origin") == len(demo.parts()["test"])


def test_every_metric_lies_in_its_interval_and_details_are_json(evaluated: object) -> None:
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


def test_refits_for_seeds_and_learning_curve_if_configured() -> None:
    parts = demo.parts()
    settings = Evaluate(resamples=100, seeds=2, learning_curve=True, leak_rows=0, importance_rows=0, baseline_rows=500)
    result = evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), settings, seed=1)
    roc_auc = result.metrics["model"]["roc_auc"]
    assert result.details["seeds"]["values"] == pytest.approx([roc_auc, roc_auc])  # this model is deterministic
    assert [point["rows"] for point in result.details["learning_curve"]] == [
        *(round(share * len(parts["train"])) for share in (0.1, 0.25, 0.5)), len(parts["train"])
    ]  # fmt: skip
    assert result.details["learning_curve"][-1]["value"] == roc_auc


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
def test_rejects_predictions_that_are_not_finite(broken: float) -> None:
    truth = np.array([True, False])
    scores = Scores(np.array([True, False]), np.array([[0.5, broken], [0.5, 0.5]]))
    with pytest.raises(SklineError, match="not finite"):
        finite_sample(truth, scores, demo.contract(), 0.5)


@pytest.mark.parametrize("metric", ["rmse", "positive_rate", "auc"])
def test_rejects_comparison_by_a_metric_of_another_task_or_without_direction(metric: str) -> None:
    with pytest.raises(
        SklineError, match=f"evaluate.metric: '{metric}' is unknown for this task; choose one of roc_auc"
    ):
        comparison_metric(demo.contract(), Evaluate(metric=metric))


def test_evaluate_does_not_modify_its_tables() -> None:
    parts = demo.parts()
    before = parts["test"].copy()
    evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), Evaluate(resamples=100), seed=1)
    pd.testing.assert_frame_equal(parts["test"], before)
