"""The registry of metrics: each metric of many resamples at once is the metric of each, and one entry is enough."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.artifact import Artifact, MetricDescription, model_card
from skline.errors import SklineError
from skline.evaluation import metrics as registry
from skline.evaluation.bootstrap import draw_rows, each_row_once
from skline.evaluation.gates import evaluate_gates
from skline.evaluation.metric_values import compute_metrics, compute_resampled_metrics
from skline.evaluation.metrics import (
    DEFAULT_METRIC,
    HEADLINE_METRICS,
    METRICS,
    Computation,
    Metric,
    comparison_metrics,
    describe_metrics,
    lower_is_better,
    metrics_of,
    register,
)
from skline.evaluation.report.page import render_report
from skline.evaluation.resampling import (
    BinarySample,
    CalibrationBins,
    MulticlassSample,
    RegressionSample,
    Sample,
)
from skline.evaluation.runtime_costs import Costs
from skline.release.verdict import Verdict
from skline.serving.page.model_summary import model_summary
from skline.settings import Settings
from skline.settings.evaluation import Evaluate, Gates
from skline.stages.evaluate import evaluate
from skline.stages.part_counts import describe_parts
from tests.fixtures import demo

CLASSES = np.array(["a", "b", "c"])
cases = st.tuples(st.integers(40, 90), st.integers(0, 10_000), st.sampled_from([1, 2, 8]))


def assert_resampled_equals_exact(sample: Sample, draws: np.ndarray, rel: float = 1e-6, abs_: float = 1e-9) -> None:
    whole = compute_resampled_metrics(sample, each_row_once(sample.size))
    exact = compute_metrics(sample)
    assert {name: value[0] for name, value in whole.items()} == pytest.approx(exact, rel=rel, abs=abs_)
    resampled = compute_resampled_metrics(sample, draws)
    for index, rows in enumerate(draws):
        expected = compute_metrics(sample.take(rows))
        for name in expected.keys() - {"ece"}:  # resamples keep the bins of the whole sample
            assert resampled[name][index] == pytest.approx(expected[name], rel=rel, abs=abs_), name


@settings(max_examples=20)
@given(cases)
def test_binary_metrics_of_resamples_equal_those_of_each_resample(case: tuple[int, int, int]) -> None:
    n, seed, digits = case
    random = np.random.default_rng(seed)
    truth = random.permutation(np.arange(n) % 3 == 0)
    scores = np.round(random.random(n), digits)  # with ties, and with 0 and 1
    assert_resampled_equals_exact(BinarySample(truth, scores, 0.4), next(draw_rows(n, 3, seed)))


@settings(max_examples=12)
@given(cases)
def test_multiclass_metrics_of_resamples_equal_those_of_each_resample(case: tuple[int, int, int]) -> None:
    n, seed, _ = case
    random = np.random.default_rng(seed)
    truth, probabilities = CLASSES[random.permutation(np.arange(n) % 3)], random.dirichlet([1, 1, 1], n)
    assert_resampled_equals_exact(MulticlassSample(truth, probabilities, CLASSES), next(draw_rows(n, 3, seed)))


@settings(max_examples=12)
@given(cases, st.floats(-1e6, 1e6))
def test_regression_metrics_of_resamples_equal_those_of_each_resample(case: tuple[int, int, int], mean: float) -> None:
    n, seed, _ = case
    random = np.random.default_rng(seed)
    truth = random.normal(mean, 1, n)
    predictions = truth + random.normal(0, 0.5, n)
    assert_resampled_equals_exact(RegressionSample(truth, predictions), next(draw_rows(n, 3, seed)), abs_=1e-6)


@pytest.mark.parametrize("only", ["roc_auc", "brier", "ece"])
def test_a_metric_computed_alone_equals_the_one_computed_with_others(only: str) -> None:
    random = np.random.default_rng(1)
    sample, draws = BinarySample(random.random(50) < 0.4, random.random(50), 0.5), next(draw_rows(50, 20, 1))
    alone = compute_resampled_metrics(sample, draws, only)
    assert list(alone) == [only]
    assert np.array_equal(alone[only], compute_resampled_metrics(sample, draws)[only])


def test_a_metric_without_a_value_is_nan_and_not_zero() -> None:
    sample = BinarySample(np.zeros(20, dtype=bool), np.linspace(0, 1, 20), 0.5)
    values = compute_resampled_metrics(sample, each_row_once(20))
    assert all(np.isnan(values[name]).all() for name in ("roc_auc", "pr_auc", "recall"))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_metric_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(SklineError, match="r2"):
        compute_metrics(RegressionSample(np.array([1.0]), np.array([1.0])))


def test_regression_metrics_agree_with_their_definitions() -> None:
    metrics = compute_metrics(RegressionSample(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])))
    assert metrics["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert (metrics["mae"], metrics["median_ae"]) == (1.0, 1.0)


def test_multiclass_metrics_weigh_classes_equally() -> None:
    truth, certain = np.array(["a", "a", "a", "b", "c"]), np.eye(3)[[0, 0, 0, 1, 2]]
    metrics = compute_metrics(MulticlassSample(truth, certain, CLASSES))
    assert [metrics[name] for name in ("roc_auc", "accuracy", "f1", "brier")] == [1.0, 1.0, 1.0, 0.0]
    always_a = compute_metrics(MulticlassSample(truth, np.tile([0.8, 0.1, 0.1], (5, 1)), CLASSES))
    assert always_a["recall"] == pytest.approx(1 / 3)


def test_calibration_error_is_zero_for_true_rates_and_large_for_false_ones() -> None:
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    truth = random.random(20_000) < scores
    assert CalibrationBins(truth, scores).error < 0.02
    assert CalibrationBins(truth, np.full(20_000, 0.9)).error == pytest.approx(0.4, abs=0.02)


def test_defaults_and_headlines_name_registered_metrics_of_their_task() -> None:
    for task, metric in DEFAULT_METRIC.items():
        assert metric in comparison_metrics(task)
        assert set(HEADLINE_METRICS[task]) <= {each.name for each in metrics_of(task)}
    assert "positive_rate" not in comparison_metrics("binary")
    assert lower_is_better("brier")
    assert not lower_is_better("r2")
    assert not lower_is_better("unknown")


@pytest.fixture
def toy_metric(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Register the largest error, which has no form for many resamples."""
    monkeypatch.setattr(registry, "METRICS", dict(METRICS))
    metric = Metric(
        "largest_error",
        "Largest error",
        "lower",
        "distance of the worst probability from the truth",
        binary=Computation(lambda sample: np.abs(sample.scores - sample.truth).max()),
    )
    register(metric)
    return metric


def test_a_name_cannot_be_registered_twice(toy_metric: Metric) -> None:
    with pytest.raises(ValueError, match="'largest_error' is registered already"):
        register(toy_metric)


def test_a_metric_without_a_resampled_form_is_computed_for_each_resample(toy_metric: Metric) -> None:
    random = np.random.default_rng(1)
    sample, draws = BinarySample(random.random(50) < 0.4, random.random(50), 0.5), next(draw_rows(50, 20, 1))
    expected = [np.abs(sample.scores[rows] - sample.truth[rows]).max() for rows in draws]
    assert compute_resampled_metrics(sample, draws, toy_metric.name)[toy_metric.name].tolist() == expected


def test_a_resample_for_which_the_exact_form_fails_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_both_classes(sample: BinarySample) -> float:
        if sample.truth.all() or not sample.truth.any():
            raise ValueError("one class")
        return 1.0

    monkeypatch.setattr(registry, "METRICS", {})
    register(Metric("strict", "Strict", "higher", "", binary=Computation(needs_both_classes)))
    sample = BinarySample(np.array([True, False]), np.array([0.9, 0.1]), 0.5)
    values = compute_resampled_metrics(sample, np.array([[0, 0], [0, 1]]))["strict"]
    assert np.isnan(values[0])
    assert values[1] == 1.0


def test_one_entry_is_in_metrics_intervals_segments_gates_report_model_card_and_page(
    toy_metric: Metric, packaged: demo.Packaged
) -> None:
    parts, contract = demo.parts(), demo.contract()
    settings = Evaluate(
        resamples=100, min_segment_rows=200, baseline_rows=500, leak_rows=0, importance_rows=200, metric=toy_metric.name
    )
    result = evaluate(demo.pipeline(), parts["train"], parts["test"], contract, settings, seed=1)
    name = toy_metric.name
    assert {name in result.metrics[model] for model in ("model", "dummy", "linear")} == {True}
    low, high = result.details["intervals"]["model"][name]
    assert low <= result.metrics["model"][name] <= high
    assert all(name in segment for segment in result.details["segments"])
    assert result.details["metric"] == result.details["against"]["dummy"]["metric"] == name
    assert result.details["descriptions"][name] == describe_metrics("binary")[name]

    costs = Costs(latency_ms=1, latency_low_ms=1, latency_high_ms=1, artifact_mb=1, memory_mb=1)
    details = json.loads(json.dumps(result.details, allow_nan=False))
    gates = Gates(floors={name: 0.01}, worst_segment=1.0, segment_rows=200)
    results = {gate.gate: gate for gate in evaluate_gates(gates, result.metrics, details, None, costs, "a" * 64)}
    assert not results[f"floor {name}"].passed
    assert "must be at most 0.01" in results[f"floor {name}"].reason
    assert results["worst segment"].passed

    artifact = Artifact.open(packaged.folder, packaged.digest)
    html = render_report(
        Settings.load(demo.PARAMS), artifact, Verdict(artifact_sha256=artifact.digest, gates=tuple(results.values())),
        None, metrics=result.metrics, details=details, plots=result.plots, lineage={},
        parts=describe_parts(parts, contract),
    )  # fmt: skip
    assert ">Largest error<" in html
    assert "How much better by Largest error, on the same rows" in html

    worst = max(details["segments"], key=lambda segment: segment[name])
    facts = artifact.manifest.model_dump() | {"metrics": result.metrics}
    sections = model_card.sections(
        Settings.load(demo.PARAMS), contract, facts, describe_parts(parts, contract), details
    )
    card = model_card.markdown("Demo", sections)
    assert f"| {name} |" in card
    assert f"Weakest by {name}: {worst['column']} {worst['value']} (" in card

    descriptions = {key: MetricDescription(**each) for key, each in result.details["descriptions"].items()}
    manifest = artifact.manifest.model_copy(update={"metrics": result.metrics, "metric_descriptions": descriptions})
    page = model_summary(manifest, card)
    assert 'Largest error<span class="hint">distance of the worst probability from the truth</span>' in page
    assert "Precision<" not in page
