"""Tests of the stage evaluate: metrics, intervals, segments and plots of the test part; NaN is an error."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn import metrics as sk
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skline import paths
from skline.artifact import GoldenRows
from skline.errors import SklineError
from skline.evaluation import metrics
from skline.evaluation.metrics import Computation, Metric
from skline.scoring.golden_rows import choose_golden_rows
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate
from skline.stages.evaluate import comparison_metric, evaluate, finite_sample, verify_golden_rows
from skline.stages.train import train
from skline.stages.tune import write_model
from skline.tuning.tune import tune
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline


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


def test_baselines_depend_on_data_and_seed_and_not_on_the_model() -> None:
    parts, settings = demo.parts(), Evaluate(resamples=100, leak_rows=0, importance_rows=0, baseline_rows=1_000)
    results = []
    for iterations, threshold in ((20, 0.3), (3, 0.6)):
        fitted = train(parts["train"], demo.contract(), build_pipeline, {"model__max_iter": iterations}, seed=1)
        tuned, _ = tune(
            fitted, parts["validation"], demo.contract(), method="off", threshold=threshold, level=0.9, seed=1
        )
        results.append(evaluate(tuned, parts["train"], parts["test"], demo.contract(), settings, seed=1).metrics)
    first, second = results
    assert first["model"]["f1"] != second["model"]["f1"]
    assert first["linear"] == second["linear"]
    assert first["dummy"] == second["dummy"]
    assert first["linear"]["f1"] > 0


def test_a_metric_that_resamples_have_no_value_of_is_named_with_the_rows_by_class() -> None:
    parts, contract = demo.parts(), demo.contract()
    late = parts["test"]["late"].to_numpy()
    test = parts["test"].iloc[[*np.flatnonzero(~late)[:200], np.flatnonzero(late)[0]]]
    settings = Evaluate(resamples=100, leak_rows=0, importance_rows=0, baseline_rows=500)
    with pytest.raises(SklineError, match=r"recall has no value on too many .* \(rows by class: False 200, True 1\)"):
        evaluate(demo.pipeline(), parts["train"], test, contract, settings, seed=1)


def test_a_metric_may_have_no_interval_by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, settings = demo.parts(), Evaluate(resamples=100, leak_rows=0, importance_rows=0, baseline_rows=500)
    scores = demo.pipeline().predict_proba(parts["test"][demo.contract().input_names])[:, 1]
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    metrics.register(
        Metric("own", "Own", None, "", binary=Computation(lambda sample: sample.scores.max(), interval=None))
    )
    result = evaluate(demo.pipeline(), parts["train"], parts["test"], demo.contract(), settings, seed=1)
    assert result.metrics["model"]["own"] == scores.max()
    assert result.details["intervals"]["model"]["own"] is None
    assert result.details["intervals"]["without"] == ["own"]


def test_a_forest_with_several_jobs_is_verified_within_its_declared_exactness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trees are added in the order in which threads end: the last bits of a row differ from call to call."""
    monkeypatch.chdir(tmp_path)
    parts, contract = demo.parts(), demo.contract()
    steps = build_pipeline(contract).steps[:-1]
    forest = RandomForestClassifier(150, min_samples_leaf=5, max_leaf_nodes=60, n_jobs=2, random_state=1)
    forest_pipeline = Pipeline([*steps, ("numbers", SimpleImputer()), ("model", forest)])
    forest_pipeline.fit(parts["train"][contract.input_names], parts["train"]["late"])
    for pipeline, path in (
        (forest_pipeline, "plan"),
        (Pipeline([("own", FunctionTransformer(unchanged)), *forest_pipeline.steps]), "pipeline"),
    ):
        golden = choose_golden_rows(parts["train"], parts["validation"], contract, 40, seed=1)
        choice = write_model(pipeline, contract, golden)
        assert (choice.path, choice.exactness) == (path, "ulp")
        stored = GoldenRows.model_validate_json(paths.GOLDEN.read_bytes())
        assert stored.exactness == "ulp"
        for _ in range(10):
            verify_golden_rows(pipeline, contract, stored)
        shifted = [[a + 1e-9, b - 1e-9] for a, b in stored.probabilities or []]
        with pytest.raises(SklineError, match="golden row 0 gets .* within 64 units in the last place"):
            verify_golden_rows(pipeline, contract, stored.model_copy(update={"probabilities": shifted}))


def unchanged(X: pd.DataFrame) -> pd.DataFrame:
    return X


def test_results_of_the_last_model_stay_where_another_cannot_be_evaluated() -> None:
    stage = yaml.safe_load((demo.ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]
    outputs = [(path, options) for each in (*stage["metrics"], *stage["outs"]) for path, options in each.items()]
    assert {path.removeprefix("reports/") for path, _ in outputs} == {
        "summary.json", "metrics.json", "evaluation.json", "plots",
    }  # fmt: skip
    assert all(options["persist"] for _, options in outputs)
