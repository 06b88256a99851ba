"""Metrics by segment, missing values included, and the gate of the worst segment."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from skline.errors import SklineError
from skline.evaluation.gates import evaluate_gates
from skline.evaluation.runtime_costs import Costs
from skline.evaluation.segments import segment_metrics
from skline.scoring.scores import Scores
from skline.settings.evaluation import Gates
from tests.skline.evaluation.shop import CONTRACT, make_rows


def test_missing_values_are_a_segment_and_a_metric_without_a_value_is_none() -> None:
    table, scores = make_rows()
    entries, small = segment_metrics(table, scores, CONTRACT, 0.5, (("town", "level"),), 100, seed=1)
    by_name = {(each["column"], each["value"]): each for each in entries}
    assert [value for column, value in by_name if column == "town"] == ["(missing)", "A", "B", "C"]
    assert small["level"] == 1
    rows = table["town"].isna().to_numpy()
    missing = by_name["town", "(missing)"]
    assert scores.probabilities is not None
    roc_auc = sk.roc_auc_score(table["bought"][rows], scores.probabilities[rows, 1])
    assert (missing["rows"], missing["roc_auc"]) == (rows.sum(), pytest.approx(roc_auc))
    assert missing["intervals"]["roc_auc"][0] < missing["roc_auc"] < missing["intervals"]["roc_auc"][1]
    without_positives = by_name["town", "C"]
    assert without_positives["recall"] is None
    assert without_positives["roc_auc"] is None
    assert "recall" not in without_positives["intervals"]
    assert without_positives["brier"] > 0
    assert ("town × level", "A × 0") in by_name
    with pytest.raises(SklineError, match="'age' is not a segment column"):
        segment_metrics(table, scores, CONTRACT, 0.5, (("town", "age"),), 100, seed=1)


@pytest.mark.parametrize("values", [["²", "3", "x"], ["--5", "-5", "4"], ["٣", "1.5", "10"]])
def test_values_that_look_like_numbers_are_segments_too(values: list[str]) -> None:
    table, scores = make_rows()
    table["town"] = pd.array(np.array(values)[np.arange(len(table)) % 3], dtype="str")
    entries, _ = segment_metrics(table, scores, CONTRACT, 0.5, (), 100, seed=1)
    assert {each["value"] for each in entries if each["column"] == "town"} == set(values)
    numbers = [each["value"] for each in entries if each["column"] == "town"]
    assert numbers == {"²": ["3", "x", "²"], "--5": ["-5", "4", "--5"], "٣": ["1.5", "10", "٣"]}[values[0]]


def refusals(seed: int, shifts: list[float], floor: float, simulations: int) -> float:
    """Return the share of models that the gate of the worst segment refuses.

    Each segment has 500 rows, a quarter of them positive. Scores are normal, and higher by the segment's shift where a
    row is positive: the area under the ROC curve is then Φ(shift / √2).
    """
    random = np.random.default_rng(seed)
    town = np.repeat([f"town {number}" for number in range(len(shifts))], 500)
    shift, limits = np.repeat(shifts, 500), Gates(worst_segment=floor, segment_rows=500)
    refused = 0
    for _ in range(simulations):
        truth = random.random(len(town)) < 0.25
        probability = norm.cdf(random.normal(0, 1, len(town)) + shift * truth - 1)
        scores = Scores(probability >= 0.5, np.column_stack([1 - probability, probability]))
        table = pd.DataFrame({"town": pd.array(town, dtype="str"), "bought": truth})
        entries, _ = segment_metrics(table, scores, TOWNS, 0.5, (), 500, seed=1)
        details = {"metric": "roc_auc", "segments": entries}
        results = evaluate_gates(limits, {}, details, None, COSTS, "a" * 64)
        refused += any(result.gate == "worst segment" and result.passed is False for result in results)
    return refused / simulations


COSTS = Costs(latency_ms=1, latency_low_ms=1, latency_high_ms=1, artifact_mb=1, memory_mb=1)
TOWNS = CONTRACT.model_copy(update={"columns": tuple(each for each in CONTRACT.columns if each.name != "level")})


@pytest.mark.slow
def test_equal_segments_at_the_floor_are_refused_in_at_most_5_percent_of_500_models() -> None:
    floor = float(norm.cdf(1 / np.sqrt(2)))
    rate = refusals(81, [1.0] * 12, floor, 500)
    print(f"seed 81: twelve segments at the floor {floor:.3f}, refused {rate:.1%}")
    assert rate <= 0.05


@pytest.mark.slow
def test_a_model_with_one_segment_far_below_the_floor_is_refused_in_at_least_95_percent_of_models() -> None:
    rate = refusals(82, [1.0] * 11 + [0.2], 0.7, 200)
    print(f"seed 82: one segment of twelve at 0.556, the floor at 0.7, refused {rate:.1%}")
    assert rate >= 0.95
