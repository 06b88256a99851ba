"""The gates on constructed cases whose result is known."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.evaluation import gates
from skline.evaluation.bootstrap import Difference
from skline.evaluation.champion import Comparison, compare_with_champion
from skline.evaluation.runtime_costs import Costs
from skline.release.verdict import GateResult, Verdict
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate, Gates

CONTRACT = Contract(
    title="made up",
    columns=(
        Column(name="x", kind="number"),
        Column(name="town", kind="string", role="segment", segment=True),
        Column(name="bought", kind="boolean", role="target"),
    ),
    task="binary",
    classes=(False, True),
)
ROWS = 6_000
METRICS: dict[str, Any] = {"rows": ROWS, "model": {"roc_auc": 0.7, "brier": 0.1, "ece": 0.02}}
DETAILS: dict[str, Any] = {
    "metric": "roc_auc",
    "intervals": {"model": {"roc_auc": [0.68, 0.72], "brier": [0.09, 0.11], "ece": [0.01, 0.03]}},
    "against": {
        "dummy": {"value": 0.2, "low": 0.18, "high": 0.22},
        "linear": {"value": 0.02, "low": 0.01, "high": 0.03},
    },
    "segments": [
        {"column": "town", "value": "A", "rows": 900, "roc_auc": 0.7, "intervals": {"roc_auc": [0.66, 0.74]}},
        {"column": "town", "value": "B", "rows": 800, "roc_auc": 0.58, "intervals": {"roc_auc": [0.54, 0.62]}},
        {"column": "town", "value": "C", "rows": 100, "roc_auc": 0.4, "intervals": {"roc_auc": [0.3, 0.5]}},
    ],
    "gaps": [
        {
            "column": "town",
            "rate": "error",
            "gap": 0.08,
            "interval": [0.057, 0.103],
            "highest": "A",
            "lowest": "B",
            "groups": {"A": 0.2, "B": 0.12},
            "rows": {"A": 2_000, "B": 2_000},
            "variances": {},
            "small": {"C": 12},
            "min_rows": 200,
        }
    ],
}
COSTS = Costs(latency_ms=1, latency_low_ms=0.9, latency_high_ms=1.1, artifact_mb=2, memory_mb=30)


def make_scores(shift: Any, seed: int, noise: Any) -> Scores:
    """Return the scores of a model, raised by `shift` where the truth is positive, on the rows of `table`."""
    truth = table()["bought"].to_numpy()
    own = np.random.default_rng(seed).normal(0, 1, ROWS)
    score = 1 / (1 + np.exp(-(truth * shift + 0.8 * noise + 0.6 * own)))
    return Scores(score >= 0.5, np.column_stack([1 - score, score]))


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"x": 0.0, "town": np.where(np.arange(ROWS) % 6 == 0, "small", "large"), "bought": np.arange(ROWS) % 4 == 0}
    )


def assess(new: Any, champion: Any, limits: Gates | None = None) -> tuple[Verdict, Comparison]:
    """Return the verdict on a new model compared with a champion; each is described by its shift."""
    noise, limits = np.random.default_rng(0).normal(0, 1, ROWS), limits or Gates()
    result = compare_with_champion(
        table(), make_scores(new, 1, noise), make_scores(champion, 2, noise), CONTRACT, (0.5, 0.5), "roc_auc",
        Evaluate(resamples=400), limits, 17,
    )  # fmt: skip
    comparison = Comparison("shop/3", "c" * 64, *result)
    return make_verdict(limits, comparison=comparison), comparison


def make_verdict(
    limits: Gates | None = None,
    metrics: Any = METRICS,
    details: Any = DETAILS,
    comparison: Comparison | SklineError | None = None,
    costs: Costs = COSTS,
) -> Verdict:
    compared = comparison if isinstance(comparison, Comparison) else None
    return Verdict(
        artifact_sha256="a" * 64,
        champion_sha256=compared and compared.sha256,
        champion_version=compared and compared.version,
        improved=gates.is_improved(comparison, "a" * 64),
        gates=gates.evaluate_gates(limits or Gates(), metrics, details, comparison, costs, "a" * 64),
    )


def failed(verdict: Verdict) -> list[str]:
    return [result.gate for result in verdict.failed_gates]


def undecided(verdict: Verdict) -> list[str]:
    return [result.gate for result in verdict.undecided_gates]


def reason(verdict: Verdict, gate: str) -> str:
    return next(result.reason for result in verdict.gates if result.gate == gate)


def test_gate_of_rows_says_how_many_there_are() -> None:
    assert reason(make_verdict(metrics=METRICS | {"rows": 0}), "rows").startswith("0 test rows, must be at least")
    assert reason(make_verdict(metrics={}), "rows").startswith("test rows: not a finite number")


def test_a_better_model_passes_and_is_improved() -> None:
    verdict, _ = assess(new=1.4, champion=1.0)
    assert verdict.passed
    assert verdict.improved
    assert verdict.summary().endswith("it is better than the champion shop/3.")


def test_an_equal_model_passes_and_is_not_improved() -> None:
    verdict, _ = assess(new=1.0, champion=1.0, limits=Gates(champion={"margin": 0.02}))
    assert verdict.passed
    assert verdict.improved is False
    assert "no improvement is shown" in verdict.summary()


def test_the_summary_does_not_call_a_model_not_worse_where_the_comparison_is_undecided() -> None:
    verdict, _ = assess(new=1.0, champion=1.0, limits=Gates(champion={"margin": 0.0001}))
    assert undecided(verdict) == ["champion"]
    assert verdict.summary().endswith("whether it is worse than the champion shop/3 is not decided.")


def test_an_equal_model_fails_where_a_better_one_is_required() -> None:
    verdict, _ = assess(new=1.0, champion=1.0, limits=Gates(champion={"require": "better"}))
    assert failed(verdict) == ["champion"]


def test_a_worse_model_fails() -> None:
    verdict, _ = assess(new=0.8, champion=1.0)
    assert "champion" in failed(verdict)


def test_a_model_that_is_better_overall_and_much_worse_in_one_segment_fails() -> None:
    small = table()["town"].to_numpy() == "small"
    verdict, comparison = assess(new=np.where(small, 0.3, 1.6), champion=1.0)
    assert comparison.difference is not None
    assert comparison.difference.low > 0
    assert failed(verdict) == ["champion by segment"]
    assert "town small" in verdict.failed_gates[0].reason
    assert "; must be at most 0.05 worse" in verdict.failed_gates[0].reason


def test_a_first_model_passes_without_a_champion() -> None:
    verdict = make_verdict()
    assert verdict.passed
    assert "no champion yet" in verdict.summary()
    assert verdict.improved is None
    [champion] = [gate for gate in verdict.gates if gate.gate == "champion"]
    assert (champion.passed, champion.outcome) == (None, "no champion yet")
    assert verdict.undecided_gates == ()
    assert verdict.summary().startswith(f"May be released: all {len(verdict.gates) - 1} gates passed; ")


def test_a_champion_that_cannot_be_scored_fails_with_its_reason() -> None:
    verdict = make_verdict(comparison=SklineError("the champion shop/3 is not there"))
    assert failed(verdict) == ["champion"]
    assert verdict.failed_gates[0].reason == "the champion shop/3 is not there"


def test_each_limit_fails_a_model_that_does_not_keep_it() -> None:
    for limits, gate in (
        ({"floors": {"roc_auc": 0.71}}, "floor roc_auc"),
        ({"floors": {"brier": 0.09}}, "floor brier"),
        ({"floors": {"recall": 0.1}}, "floor recall"),
        ({"min_rows": ROWS + 1}, "rows"),
        ({"worst_segment": 0.65}, "worst segment"),
        ({"gaps": {"error": 0.05}}, "gap error"),
        ({"gaps": {"selection_rate": 0.5}}, "gap selection_rate"),
        ({"max_ece": 0.01}, "calibration"),
        ({"max_latency_ms": 0.5}, "latency"),
        ({"max_artifact_mb": 1}, "size"),
        ({"max_memory_mb": 10}, "memory"),
    ):
        assert failed(make_verdict(Gates.model_validate(limits))) == [gate]
    verdict = make_verdict(Gates(worst_segment=0.5, floors={"roc_auc": 0.7}, gaps={"error": 0.11}, max_ece=0.02))
    assert verdict.passed
    assert not verdict.undecided_gates


def test_a_verdict_does_not_depend_on_measurements_that_keep_their_limits() -> None:
    slower = COSTS.model_copy(update={"latency_ms": 2, "latency_low_ms": 1.9, "latency_high_ms": 2.1, "memory_mb": 40})
    verdict = make_verdict(STRICT, costs=slower)
    assert verdict.gates == make_verdict(STRICT).gates
    memory = next(result for result in verdict.gates if result.gate == "memory")
    assert gates.describe_result(memory, slower).endswith("reports/costs.json has the value: 40")


def test_a_limit_within_the_interval_is_neither_kept_nor_missed() -> None:
    for limits, gate, text in (
        ({"worst_segment": 0.6}, "worst segment", "1 of 2 segments are undecided: too few rows"),
        ({"worst_segment": 0.1, "segment_rows": 1_000}, "worst segment", "no segment has both 1000 rows"),
        ({"gaps": {"error": 0.08}}, "gap error", "undecided on these rows"),
        ({"max_latency_ms": 1.05}, "latency", "undecided: the rounds differ too much"),
    ):
        verdict = make_verdict(Gates.model_validate(limits))
        assert verdict.passed
        assert undecided(verdict) == [gate]
        assert text in reason(verdict, gate)
        assert f"1 undecided ({gate})" in verdict.summary()


def test_a_gap_between_fewer_than_two_large_groups_is_not_decided_and_names_the_small_ones() -> None:
    small = DETAILS["gaps"][0] | {"groups": {"A": 0.2}, "rows": {"A": 2_000}, "small": {"B": 3, "C": 12}, "gap": None}
    verdict = make_verdict(Gates(gaps={"error": 0.01}), details=DETAILS | {"gaps": [small]})
    assert (failed(verdict), undecided(verdict)) == ([], ["gap error"])
    assert "error is defined on fewer than 200 rows of B (3), C (12)" in reason(verdict, "gap error")


def test_intervals_are_wider_where_more_gaps_are_judged() -> None:
    one = Gates(gaps={"error": 0.055})
    assert failed(make_verdict(one)) == ["gap error"]
    other = DETAILS["gaps"][0] | {"column": "level"}
    assert undecided(make_verdict(one, details=DETAILS | {"gaps": [*DETAILS["gaps"], other]})) == ["gap error"] * 2


def test_a_segment_gate_without_marked_segments_fails_and_says_how_to_mark_them() -> None:
    verdict = make_verdict(Gates(worst_segment=0.1), details=DETAILS | {"segments": [], "small_segments": {}})
    assert failed(verdict) == ["worst segment"]
    assert "no segments are marked: set segment=True" in reason(verdict, "worst segment")


def test_no_segments_to_compare_with_the_champion_is_neither_a_pass_nor_undecided() -> None:
    compared = Comparison("shop/3", "c" * 64, Difference(metric="roc_auc", value=0.1, low=0.05, high=0.15, rows=ROWS))
    unmarked = make_verdict(details=DETAILS | {"segments": []}, comparison=compared)
    gate = next(each for each in unmarked.gates if each.gate == "champion by segment")
    assert (gate.passed, gate.applies, gate.outcome) == (None, False, "nothing to check")
    assert gate.reason.startswith("no segments are marked")
    assert undecided(unmarked) == []
    assert "no segment has 500 rows" in reason(make_verdict(comparison=compared), "champion by segment")


def test_a_reason_says_better_or_worse_and_never_better_by_less_than_nothing() -> None:
    linear = {"value": -0.0031, "low": -0.01, "high": 0.004}
    details = DETAILS | {"against": DETAILS["against"] | {"linear": linear}}
    text = reason(make_verdict(Gates(linear_margin=0.005), details=details), "linear")
    assert text == (
        "roc_auc is 0.0031 worse than that of the linear baseline (gain -0.0100 to +0.0040), "
        "up to 0.005 worse is tolerated"
    )
    assert "0.0200 better than that of the linear baseline" in reason(make_verdict(), "linear")


def test_a_metric_that_has_no_interval_by_definition_needs_none() -> None:
    intervals = {"model": {name: ends for name, ends in DETAILS["intervals"]["model"].items() if name != "brier"}}
    assert failed(make_verdict(details=DETAILS | {"intervals": intervals})) == ["numbers"]
    assert make_verdict(details=DETAILS | {"intervals": intervals | {"without": ["brier"]}}).passed


def test_a_model_no_better_than_a_constant_or_worse_than_a_linear_model_fails() -> None:
    against = {"dummy": {"value": 0.01, "low": -0.01, "high": 0.03}, "linear": {"value": -0.01, "low": 0, "high": 0}}
    assert failed(make_verdict(details=DETAILS | {"against": against})) == ["dummy", "linear"]
    assert failed(make_verdict(Gates(linear_margin=0.02), details=DETAILS | {"against": against})) == ["dummy"]


@pytest.mark.parametrize(
    ("value", "low", "high", "passed"),
    [(0.1, -0.5, 0.5, True), (-0.05, -0.5, 0.5, None), (0.0, -0.1, 0.1, None), (-0.3, -0.5, -0.1, False)],
)
def test_few_rows_may_not_tell_whether_a_model_is_better_than_a_constant(
    value: float, low: float, high: float, passed: bool | None
) -> None:
    against = DETAILS["against"] | {"dummy": {"value": value, "low": low, "high": high}}
    verdict = make_verdict(Gates(dummy="better"), details=DETAILS | {"against": against})
    [gate] = [gate for gate in verdict.gates if gate.gate == "dummy"]
    assert gate.passed is passed
    assert ("undecided on these rows" in gate.reason) == (passed is None)


STRICT = Gates(
    floors={"roc_auc": 0.5, "brier": 0.3}, worst_segment=0.3, segment_rows=1, gaps={"error": 0.9}, max_ece=0.5
)
LEAVES = [
    ("metrics", "rows"), ("metrics", "model", "roc_auc"), ("metrics", "model", "brier"), ("metrics", "model", "ece"),
    ("details", "intervals", "model", "roc_auc", 0), ("details", "intervals", "model", "brier", 1),
    ("details", "against", "dummy", "low"), ("details", "against", "linear", "value"), ("details", "gaps", 0, "gap"),
]  # fmt: skip


@given(st.sampled_from(LEAVES), st.sampled_from([math.nan, math.inf, -math.inf, None, "0.9", True]))
def test_a_figure_that_is_nan_or_not_a_number_never_passes(leaf: tuple[Any, ...], broken: Any) -> None:
    assert make_verdict(STRICT).passed
    holder = {"metrics": METRICS, "details": DETAILS}

    def put(value: Any, path: tuple[Any, ...]) -> Any:
        if not path:
            return broken
        copy = list(value) if isinstance(value, list) else dict(value)
        copy[path[0]] = put(value[path[0]], path[1:])
        return copy

    changed = put(holder, leaf)
    assert not make_verdict(STRICT, changed["metrics"], changed["details"]).passed


@pytest.mark.parametrize("missing", ["intervals", "against", "segments", "gaps"])
def test_a_missing_figure_never_passes(missing: str) -> None:
    details = {key: value for key, value in DETAILS.items() if key != missing}
    assert not make_verdict(STRICT, details=details).passed
    assert not make_verdict(STRICT, metrics={}).passed
    assert not make_verdict(STRICT, costs=COSTS.model_copy(update={"latency_ms": math.nan})).passed


def test_a_difference_without_a_value_fails() -> None:
    assert failed(make_verdict(comparison=Comparison("shop/3", "c" * 64, None))) == ["champion"]


def test_a_verdict_in_which_no_gate_decided_does_not_pass() -> None:
    undecided = GateResult(gate="worst segment", passed=None, reason="undecided: too few rows")
    assert not Verdict(artifact_sha256="a" * 64, gates=(undecided,)).passed


def test_a_verdict_without_gates_does_not_pass() -> None:
    assert not Verdict(artifact_sha256="a" * 64, gates=()).passed
