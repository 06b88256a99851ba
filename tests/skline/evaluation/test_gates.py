"""The gates on made-up cases whose truth is known."""

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
from skline.evaluation.champion import Comparison, compare
from skline.evaluation.costs import Costs
from skline.evaluation.verdict import Verdict
from skline.scoring.answers import Scores
from skline.settings_evaluation import Evaluate, Gates

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
        {"column": "town", "value": "A", "rows": 900, "roc_auc": 0.7},
        {"column": "town", "value": "B", "rows": 800, "roc_auc": 0.58},
        {"column": "town", "value": "C", "rows": 100, "roc_auc": 0.4},
    ],
    "gaps": [{"column": "town", "rate": "error", "gap": 0.08, "highest": "A", "lowest": "B"}],
}
COSTS = Costs(latency_ms=1, artifact_mb=2, memory_mb=30)


def scored(shift: Any, seed: int, noise: Any) -> Scores:
    """A model whose score lies `shift` apart where the truth is yes, on the rows of `table`."""
    truth = table()["bought"].to_numpy()
    own = np.random.default_rng(seed).normal(0, 1, ROWS)
    score = 1 / (1 + np.exp(-(truth * shift + 0.8 * noise + 0.6 * own)))
    return Scores(score >= 0.5, np.column_stack([1 - score, score]))


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"x": 0.0, "town": np.where(np.arange(ROWS) % 6 == 0, "small", "large"), "bought": np.arange(ROWS) % 4 == 0}
    )


def judged(new: Any, champion: Any, limits: Gates | None = None) -> tuple[Verdict, Comparison]:
    """The verdict on a new model beside a champion; each is given by its shift."""
    noise, limits = np.random.default_rng(0).normal(0, 1, ROWS), limits or Gates()
    found = compare(
        table(), scored(new, 1, noise), scored(champion, 2, noise), CONTRACT, (0.5, 0.5), "roc_auc",
        Evaluate(resamples=400), limits, 17,
    )  # fmt: skip
    comparison = Comparison("shop/3", "c" * 64, *found)
    return verdict(limits, comparison=comparison), comparison


def verdict(
    limits: Gates | None = None,
    metrics: Any = METRICS,
    details: Any = DETAILS,
    comparison: Comparison | SklineError | None = None,
    costs: Costs = COSTS,
) -> Verdict:
    findings = gates.judge(limits or Gates(), metrics, details, comparison, costs, "a" * 64)
    known = comparison if isinstance(comparison, Comparison) else None
    return Verdict(
        artifact_sha256="a" * 64,
        champion_sha256=known and known.sha256,
        champion_version=known and known.version,
        improved=gates.improved(comparison, "a" * 64),
        findings=findings,
    )


def failed(found: Verdict) -> list[str]:
    return [finding.gate for finding in found.failures()]


def test_a_worse_champion_is_replaced() -> None:
    found, _ = judged(new=1.4, champion=1.0)
    assert found.passed
    assert found.improved
    assert found.words().endswith("it is better than the champion shop/3.")


def test_an_equal_one_may_replace_it_and_is_not_called_improved() -> None:
    found, _ = judged(new=1.0, champion=1.0, limits=Gates(champion={"margin": 0.02}))
    assert found.passed
    assert found.improved is False
    assert "no improvement is shown" in found.words()
    strict, _ = judged(new=1.0, champion=1.0, limits=Gates(champion={"require": "better"}))
    assert failed(strict) == ["champion"]


def test_a_worse_one_is_refused() -> None:
    found, _ = judged(new=0.8, champion=1.0)
    assert "champion" in failed(found)


def test_better_overall_and_much_worse_in_one_segment_is_refused() -> None:
    small = table()["town"].to_numpy() == "small"
    found, comparison = judged(new=np.where(small, 0.3, 1.6), champion=1.0)
    assert comparison.difference is not None
    assert comparison.difference.low > 0
    assert failed(found) == ["champion by segment"]
    assert "town small" in found.failures()[0].reason


def test_no_champion_is_said_and_one_that_cannot_be_asked_is_a_no() -> None:
    found = verdict()
    assert found.passed
    assert "no champion yet" in found.words()
    assert found.improved is None
    broken = verdict(comparison=SklineError("the champion shop/3 is not there"))
    assert failed(broken) == ["champion"]
    assert broken.failures()[0].reason == "the champion shop/3 is not there"


def test_each_limit_refuses_what_does_not_keep_it() -> None:
    for limits, gate in (
        ({"floors": {"roc_auc": 0.71}}, "floor roc_auc"),
        ({"floors": {"brier": 0.09}}, "floor brier"),
        ({"floors": {"recall": 0.1}}, "floor recall"),
        ({"min_rows": ROWS + 1}, "rows"),
        ({"worst_segment": 0.6}, "worst segment"),
        ({"worst_segment": 0.1, "segment_rows": 1_000}, "worst segment"),
        ({"gaps": {"error": 0.05}}, "gap error"),
        ({"gaps": {"selection_rate": 0.5}}, "gap selection_rate"),
        ({"max_ece": 0.01}, "calibration"),
        ({"max_latency_ms": 0.5}, "latency"),
        ({"max_artifact_mb": 1}, "size"),
        ({"max_memory_mb": 10}, "memory"),
    ):
        assert failed(verdict(Gates.model_validate(limits))) == [gate]
    assert verdict(Gates(worst_segment=0.5, floors={"roc_auc": 0.7}, gaps={"error": 0.08}, max_ece=0.02)).passed


def test_a_model_no_better_than_a_constant_or_worse_than_a_line_is_refused() -> None:
    against = {"dummy": {"value": 0.01, "low": -0.01, "high": 0.03}, "linear": {"value": -0.01, "low": 0, "high": 0}}
    assert failed(verdict(details=DETAILS | {"against": against})) == ["dummy", "linear"]
    assert failed(verdict(Gates(linear_margin=0.02), details=DETAILS | {"against": against})) == ["dummy"]


STRICT = Gates(
    floors={"roc_auc": 0.5, "brier": 0.3}, worst_segment=0.3, segment_rows=1, gaps={"error": 0.9}, max_ece=0.5
)
LEAVES = [
    ("metrics", "rows"), ("metrics", "model", "roc_auc"), ("metrics", "model", "brier"), ("metrics", "model", "ece"),
    ("details", "intervals", "model", "roc_auc", 0), ("details", "intervals", "model", "brier", 1),
    ("details", "against", "dummy", "low"), ("details", "against", "linear", "value"), ("details", "gaps", 0, "gap"),
]  # fmt: skip


@given(st.sampled_from(LEAVES), st.sampled_from([math.nan, math.inf, -math.inf, None, "0.9", True]))
def test_what_is_nan_or_no_number_never_passes(leaf: tuple[Any, ...], broken: Any) -> None:
    assert verdict(STRICT).passed
    holder = {"metrics": METRICS, "details": DETAILS}

    def put(value: Any, path: tuple[Any, ...]) -> Any:
        if not path:
            return broken
        copy = list(value) if isinstance(value, list) else dict(value)
        copy[path[0]] = put(value[path[0]], path[1:])
        return copy

    changed = put(holder, leaf)
    assert not verdict(STRICT, changed["metrics"], changed["details"]).passed


@pytest.mark.parametrize("missing", ["intervals", "against", "segments", "gaps"])
def test_what_is_missing_never_passes(missing: str) -> None:
    details = {key: value for key, value in DETAILS.items() if key != missing}
    assert not verdict(STRICT, details=details).passed
    assert not verdict(STRICT, metrics={}).passed
    assert not verdict(STRICT, costs=Costs(latency_ms=math.nan, artifact_mb=1, memory_mb=1)).passed


def test_a_difference_that_is_no_number_is_a_no() -> None:
    assert failed(verdict(comparison=Comparison("shop/3", "c" * 64, None))) == ["champion"]


def test_no_findings_pass_nothing() -> None:
    assert not Verdict(artifact_sha256="a" * 64, findings=()).passed
