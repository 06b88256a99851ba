"""Simulations with known truth: how often the champion's gate rejects a model that is as good, and one that is worse.

Each round draws a table, fits a champion on its training part, changes the table or the rule, and fits the same model
again. The split, the choice of rows, the bootstrap and the decision are those of the stages, with the margin that
`init` chooses. Rounds are seeded by their number.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from skline.contract.spec import Column, Contract
from skline.evaluation.champion import Comparison, compare_with_champion
from skline.evaluation.champion_gate import check_champion
from skline.init.inference.gates import choose_gates
from skline.partition import assign_parts, is_part
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate, Gates
from skline.split_rule import PartitionRule, Split
from tests.skline.evaluation.comparable import find_comparable_rows

ROUNDS = 500
#: Of the rounds that fit models. A gate that rejects 8 % instead of the stated 5 % fails the test with a probability of
#: 97 %, one that rejects 10 % with 99.9 % (binomial). docs/decisions/0012-parts-by-hash.md has the results of 500.
FITTED_ROUNDS = 300
#: The share of models as good as the champion that the gate rejects at most, as its module states.
STATED = 0.05
ROWS, GROWTH = 4_000, 400
NAMES = [f"x{i}" for i in range(6)]
CONTRACT = Contract(
    title="Simulated",
    columns=(*(Column(name=name, kind="number") for name in NAMES), Column(name="y", kind="boolean", role="target")),
    task="binary",
    classes=(False, True),
)
RULE = Split(validation=0.15, test=0.2)
#: The champion's table and a seed → the later table and the rule that it is split by.
Change = Callable[[pd.DataFrame, int], tuple[pd.DataFrame, Split]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Fit on one thread: for so few rows it takes half the time, and beside other tests a small part of it."""
    with threadpool_limits(1):
        yield


def draw(n: int, random: np.random.Generator) -> pd.DataFrame:
    """Draw rows whose log odds depend on all columns, with an interaction; about 40 % are positive."""
    X = random.normal(size=(n, len(NAMES)))
    log_odds = X @ [1.0, 0.8, -0.6, 0.4, 0.2, 0.1] + 0.8 * X[:, 0] * X[:, 1] - 0.5
    return pd.DataFrame(X, columns=NAMES).assign(y=random.random(n) < 1 / (1 + np.exp(-log_odds)))


def fit(table: pd.DataFrame, rule: Split, seed: int, names: list[str] = NAMES) -> Callable[[pd.DataFrame], Scores]:
    """Fit trees that remember their training rows well, on the training part."""
    train = table[is_part(assign_parts(table, CONTRACT, rule), "train")]
    model = HistGradientBoostingClassifier(
        max_iter=30, learning_rate=0.2, min_samples_leaf=5, early_stopping=False, max_features=0.8, random_state=seed
    )
    model.fit(train[names], train["y"])

    def score(rows: pd.DataFrame) -> Scores:
        probabilities = model.predict_proba(rows[names])
        return Scores(probabilities[:, 1] >= 0.5, probabilities)

    return score


def judge(seed: int, changes: Sequence[Change], names: list[str] = NAMES) -> list[bool | None]:
    """Run one round for each change of one champion's table; return what the gate decides about the second models."""
    random = np.random.default_rng(seed)
    old = draw(ROWS, random)
    champion = fit(old, RULE, seed)
    decisions = []
    for change in changes:
        table, rule = change(old, seed)
        model = fit(table, rule, seed + 1, names)
        rows = find_comparable_rows(table, CONTRACT, rule, CONTRACT, PartitionRule(split=RULE))
        gates = Gates.model_validate(choose_gates(table["y"], "binary", rows.test))
        result = compare_with_champion(
            rows.own, model(rows.own), champion(rows.champion), CONTRACT, (0.5, 0.5), "roc_auc",
            Evaluate(resamples=400), gates, seed,
        )  # fmt: skip
        comparison = Comparison("champion/1", "c" * 64, *result)
        decisions.append(next(check_champion(gates, comparison, "a" * 64, has_segments=False)).passed)
    return decisions


def reorder(old: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Split]:
    return old.sample(frac=1, random_state=seed, ignore_index=True), RULE


def grow(old: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Split]:
    """Add 10 % of new rows, and reorder."""
    new = draw(GROWTH, np.random.default_rng([seed, 1]))
    return reorder(pd.concat([old, new], ignore_index=True), seed)


def change_key(old: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Split]:
    """Grow, and split by another seed: the champion was fitted on 80 % of the test rows."""
    return grow(old, seed)[0], RULE.model_copy(update={"seed": 18})


@pytest.mark.slow
def test_a_model_as_good_as_the_champion_is_rejected_as_rarely_as_stated() -> None:
    changes = (reorder, grow, change_key)
    rounds = [judge(seed, changes) for seed in range(FITTED_ROUNDS)]
    for change, decisions in zip(changes, zip(*rounds, strict=True), strict=True):
        outcomes = Counter(decisions)
        print(f"{change.__name__}: seeds 0 to {FITTED_ROUNDS - 1}: {dict(outcomes)}")
        assert outcomes[False] <= STATED * FITTED_ROUNDS
        assert outcomes[True] >= (0.8 if change is not change_key else 0.1) * FITTED_ROUNDS


@pytest.mark.slow
def test_a_model_that_is_worse_is_rejected() -> None:
    """Without its best column the model's area is lower by 0.1."""
    rounds = 100
    outcomes = Counter(decision for seed in range(rounds) for decision in judge(seed, [grow], NAMES[1:]))
    print(f"seeds 0 to {rounds - 1}: {dict(outcomes)}")
    assert outcomes[False] >= 0.95 * rounds


def equal_scores(truth: np.ndarray[Any, Any], random: np.random.Generator) -> tuple[Scores, Scores]:
    """Return the scores of two models that are equally good: they share most of their noise."""
    shared = 1.2 * truth + 0.8 * random.normal(size=len(truth))
    scores = []
    for _ in range(2):
        positive = 1 / (1 + np.exp(-(shared + 0.4 * random.normal(size=len(truth)))))
        scores.append(Scores(positive >= 0.5, np.column_stack([1 - positive, positive])))
    return scores[0], scores[1]


def compare_equal(seed: int, rows: int, gates: Gates) -> Comparison:
    """Compare two equally good models on rows of eight towns."""
    random = np.random.default_rng([seed, 2])
    test = pd.DataFrame({"town": random.integers(0, 8, rows), "y": random.random(rows) < 0.4})
    first, second = equal_scores(test["y"].to_numpy(), random)
    result = compare_with_champion(
        test, first, second, WITH_TOWN, (0.5, 0.5), "roc_auc", Evaluate(resamples=400), gates, seed
    )
    return Comparison("champion/1", "c" * 64, *result)


def decide(comparison: Comparison, gates: Gates) -> dict[str, bool | None]:
    """Return what each gate of the champion decides."""
    return {gate.gate: gate.passed for gate in check_champion(gates, comparison, "a" * 64, has_segments=True)}


WITH_TOWN = Contract(
    title="Simulated",
    columns=(Column(name="town", kind="integer", segment=True), *CONTRACT.columns[-2:]),
    task="binary",
    classes=(False, True),
)


@pytest.mark.slow
def test_equal_models_are_rejected_as_rarely_as_stated_whatever_the_margin() -> None:
    """The rows suffice for the larger margins, and not for the smaller ones."""
    comparisons = [compare_equal(seed, 800, Gates(segment_rows=801)) for seed in range(ROUNDS)]
    for margin in (0.005, 0.02, 0.03, 0.035, 0.04, 0.06):
        gates = Gates.model_validate({"champion": {"margin": margin}})
        outcomes = Counter(decide(comparison, gates)["champion"] for comparison in comparisons)
        print(f"margin {margin}: seeds 0 to {ROUNDS - 1}: {dict(outcomes)}")
        assert outcomes[False] <= STATED * ROUNDS


@pytest.mark.slow
def test_equal_models_are_rarely_rejected_because_of_a_segment() -> None:
    gates = Gates.model_validate({"segment_rows": 50, "champion": {"segment_margin": 0.02}})
    outcomes = Counter(
        decide(compare_equal(seed, 1_600, gates), gates)["champion by segment"] for seed in range(ROUNDS)
    )
    print(f"seeds 0 to {ROUNDS - 1}: {dict(outcomes)}")
    assert outcomes[False] <= 0.025 * ROUNDS
