"""Gaps between groups: rates of large enough groups, and gates that refuse equal groups seldom and unfair ones always.

The simulations know the truth; each prints its seed and the rate that it measured.
"""

import numpy as np
import pandas as pd
import pytest

from skline.contract.spec import Column, Contract
from skline.evaluation.gaps import Group, count_pairs, gap_interval, group_gaps
from skline.evaluation.gates import evaluate_gates
from skline.evaluation.runtime_costs import Costs
from skline.scoring.scores import Scores
from skline.settings.evaluation import Gates
from tests.skline.evaluation.shop import CONTRACT, make_rows

SIMULATIONS = 500
MIN_ROWS = 100
COSTS = Costs(latency_ms=1, latency_low_ms=1, latency_high_ms=1, artifact_mb=1, memory_mb=1)
REGRESSION = Contract(
    title="Flats",
    columns=(Column(name="town", kind="string", sensitive=True), Column(name="price", kind="number", role="target")),
    task="regression",
)


def test_gaps_are_differences_of_rates_between_groups_that_have_the_rate() -> None:
    table, scores = make_rows()
    by_rate = {each["rate"]: each for each in group_gaps(table, scores, CONTRACT, MIN_ROWS)}
    expected = pd.Series(scores.predictions).groupby(table["town"].fillna("(missing)").to_numpy()).mean()
    selection = by_rate["selection_rate"]
    assert selection["groups"] == pytest.approx(expected.to_dict())
    assert selection["gap"] == pytest.approx(expected.max() - expected.min())
    assert selection["interval"][0] < selection["gap"] < selection["interval"][1]
    assert set(by_rate["true_positive_rate"]["groups"]) == {"(missing)", "A", "B"}  # C has no positive row
    assert by_rate["true_positive_rate"]["small"] == {"C": 0}
    assert selection["lowest"] == "C"


def test_the_smallest_number_of_rows_is_that_of_the_rows_that_a_rate_is_of() -> None:
    table, scores = make_rows()
    positive = table["bought"].to_numpy() & (table["town"] == "A").to_numpy(na_value=False)
    entries = group_gaps(table, scores, CONTRACT, int(positive.sum()) + 1)
    by_rate = {each["rate"]: each for each in entries}
    assert "A" in by_rate["selection_rate"]["groups"]
    assert by_rate["true_positive_rate"]["small"]["A"] == positive.sum()
    assert "A" not in by_rate["true_positive_rate"]["groups"]


def refusals(random: np.random.Generator, positive_rates: list[float], group_rows: int, limit: float) -> float:
    """Return the share of models that the gates of true and false positive rate refuse.

    Each group has `group_rows` rows, of which a third is positive; a positive row is predicted positive with the rate
    of its group, a negative row with a probability of 0.2.
    """
    towns = np.repeat([f"town {number:02}" for number in range(len(positive_rates))], group_rows)
    rates = np.repeat(positive_rates, group_rows)
    limits = Gates(gaps={"true_positive_rate": limit, "false_positive_rate": limit})
    refused = 0
    for _ in range(SIMULATIONS):
        truth = random.random(len(towns)) < 1 / 3
        predictions = random.random(len(towns)) < np.where(truth, rates, 0.2)
        table = pd.DataFrame({"town": pd.array(towns, dtype="str"), "bought": truth})
        gaps = group_gaps(table, Scores(predictions, None), CONTRACT, MIN_ROWS)
        results = evaluate_gates(limits, {}, {"metric": "roc_auc", "gaps": gaps}, None, COSTS, "a" * 64)
        refused += any(result.gate.startswith("gap") and result.passed is False for result in results)
    return refused / SIMULATIONS


@pytest.mark.slow
@pytest.mark.parametrize(("n_groups", "group_rows"), [(2, 400), (5, 600), (20, 400)])
def test_equal_groups_are_refused_in_at_most_5_percent_of_500_models(n_groups: int, group_rows: int) -> None:
    """With a limit of 0: each gap that is shown to exist is refused."""
    seed = 10 * n_groups
    rate = refusals(np.random.default_rng(seed), [0.6] * n_groups, group_rows, limit=0.0)
    print(f"seed {seed}: {n_groups} equal groups, refused {rate:.1%}")
    assert rate <= 0.05


@pytest.mark.slow
def test_a_gap_that_equals_its_limit_is_refused_in_at_most_5_percent_of_500_models() -> None:
    rate = refusals(np.random.default_rng(31), [0.7, 0.6, 0.6], 600, limit=0.1)
    print(f"seed 31: a gap at its limit, refused {rate:.1%}")
    assert rate <= 0.05


@pytest.mark.slow
def test_an_unfair_model_is_refused_in_at_least_95_percent_of_500_models() -> None:
    rate = refusals(np.random.default_rng(41), [0.8, 0.8, 0.8, 0.8, 0.5], 600, limit=0.1)
    print(f"seed 41: a gap of 0.3 with a limit of 0.1, refused {rate:.1%}")
    assert rate >= 0.95


@pytest.mark.parametrize("share", [0.5, 0.03])
def test_intervals_of_all_pairs_hold_together_in_95_percent_of_simulations(share: float) -> None:
    random = np.random.default_rng(51)
    groups, rows, runs = 8, 300, 1_000
    shares = random.binomial(rows, share, (runs, groups)) / rows
    held = [gap_interval([Group(rows, each) for each in run], count_pairs(groups))[0] == 0 for run in shares.tolist()]
    print(f"seed 51: a gap of 0 of shares of {share} is in {np.mean(held):.1%} of intervals")
    assert np.mean(held) >= 0.95


def test_intervals_of_mean_errors_hold_for_equal_and_skewed_errors() -> None:
    random = np.random.default_rng(61)
    held = []
    for _ in range(500):
        errors = random.exponential(1.0, (6, 200))
        groups = [Group(200, float(each.mean()), float(each.var(ddof=1))) for each in errors]
        held.append(gap_interval(groups, count_pairs(6))[0] == 0)
    print(f"seed 61: a gap of 0 of mean errors is in {np.mean(held):.1%} of intervals")
    assert np.mean(held) >= 0.95


def test_a_regression_has_the_gap_of_its_mean_absolute_error() -> None:
    random = np.random.default_rng(71)
    town = np.repeat(["A", "B"], 300)
    table = pd.DataFrame({"town": pd.array(town, dtype="str"), "price": random.normal(0, np.where(town == "A", 1, 3))})
    [entry] = group_gaps(table, Scores(np.zeros(600), None), REGRESSION, MIN_ROWS)
    assert (entry["rate"], entry["highest"], entry["lowest"]) == ("error", "B", "A")
    assert entry["interval"][0] < 2 * np.sqrt(2 / np.pi) < entry["interval"][1]
    assert entry["interval"][0] > 0
