"""Contributions are Shapley values: they add up, treat inputs by what they change, and equal the definition."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skline import explain
from skline.artifact import Artifact
from skline.contract.frames import to_frame
from skline.contract.spec import Column, Contract, Scalar, Value
from skline.explain import Explainer, Explanation, NotExplainable
from skline.scoring.answers import Scores
from skline.scoring.fallback import pipeline_scorer
from skline.scoring.golden import read_rows
from skline.scoring.plan import build_plan
from tests import demo

Row = dict[str, Value]
ScoreRows = Callable[[Sequence[Mapping[str, Value]]], Scores]


def contract_of(inputs: Sequence[Column], classes: tuple[Scalar, ...] | None = None) -> Contract:
    task = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    target = Column(name="target", kind="number", role="target")
    return Contract(title="Rows", columns=(*inputs, target), task=task, classes=classes)


def numbers(count: int) -> list[Column]:
    return [Column(name=f"x{index}", kind="number") for index in range(count)]


def rows_of(values: Any) -> list[Row]:
    return [{f"x{index}": value for index, value in enumerate(row)} for row in np.asarray(values).tolist()]


def regressor(function: Callable[[Any], Any]) -> ScoreRows:
    """A model that is a function of an array of shape (n, inputs)."""
    return lambda rows: Scores(function(np.array([list(row.values()) for row in rows], dtype=float)), None)


def tangled(seed: int, count: int) -> Callable[[Any], Any]:
    """A function with interactions of pairs and triples, and with jumps."""
    random = np.random.default_rng(seed)
    pairs, triples = random.integers(0, count, (count, 2)), random.integers(0, count, (count, 3))
    weights = random.normal(size=(2, count))

    def function(x: Any) -> Any:
        smooth = (weights[0] * x[:, pairs].prod(axis=2)).sum(axis=1)
        return smooth + (weights[1] * (x[:, triples].sum(axis=2) > 0)).sum(axis=1)

    return function


def by_definition(score: Callable[[Row], float], row: Row, background: list[Row]) -> dict[str, float]:
    """Mean gain over all orders in which the inputs can be given, and over the background."""
    names = list(row)
    totals = dict.fromkeys(names, 0.0)
    for other in background:
        for order in permutations(names):
            mixed = dict(other)
            before = score(mixed)
            for name in order:
                mixed[name] = row[name]
                after = score(mixed)
                totals[name] += after - before
                before = after
    return {name: total / len(background) / math.factorial(len(names)) for name, total in totals.items()}


def adds_up(found: Explanation) -> bool:
    return math.isclose(found.base_value + sum(found.contributions.values()), found.score, abs_tol=1e-9)


@pytest.fixture(scope="module")
def mixed() -> tuple[list[Column], list[Row], Any]:
    """Inputs with missing values and categories, rows, and something to learn from them."""
    columns = [
        Column(name="size", kind="number", nullable=True),
        Column(name="count", kind="integer", nullable=True),
        Column(name="colour", kind="string", nullable=True),
        Column(name="flag", kind="boolean"),
    ]
    random = np.random.default_rng(3)
    rows: list[Row] = [
        {
            "size": None if random.random() < 0.2 else float(random.normal()),
            "count": None if random.random() < 0.2 else int(random.integers(0, 9)),
            "colour": None if random.random() < 0.2 else str(random.choice(["red", "green", "blue"])),
            "flag": bool(random.random() < 0.5),
        }
        for _ in range(400)
    ]
    score = [(row["size"] or 0) * (2 if row["flag"] else -1) + (row["colour"] == "red") for row in rows]  # type: ignore[operator]
    return columns, rows, np.array(score) + random.normal(0, 0.3, 400)


def fit(estimator: Any, columns: list[Column], rows: list[Row], target: Any) -> Any:
    """One-hot categories and imputed, scaled numbers; each encoded column comes from one input."""
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    scaler = make_pipeline(SimpleImputer(), StandardScaler())
    columns_to = make_column_transformer((scaler, ["size", "count", "flag"]), (encoder, ["colour"]))
    return make_pipeline(columns_to, estimator).fit(to_frame(columns, rows), target)


def test_trees_get_what_the_definition_says_missing_values_and_all(mixed: Any) -> None:
    columns, rows, target = mixed
    trees = HistGradientBoostingClassifier(max_iter=15, min_samples_leaf=5)
    ordinal = OrdinalEncoder(encoded_missing_value=np.nan)
    encode = make_column_transformer((ordinal, ["colour"]), remainder="passthrough")
    pipeline = make_pipeline(encode, trees).fit(to_frame(columns, rows), target > 0)
    plan = build_plan(pipeline, columns)
    background = rows[:6]
    explainer = Explainer(contract_of(columns, (False, True)), plan.score_rows, background)

    def log_odds(row: Row) -> float:
        _, chances = plan.score_row(row)
        assert chances is not None
        return math.log(chances[1] / chances[0])

    missing: Row = {"size": None, "count": None, "colour": None, "flag": True}
    for row in (*rows[100:103], missing):
        found = explainer.explain(row)
        assert (found.method, found.scale, found.explained_class) == ("exact", "log-odds", True)
        assert found.contributions == pytest.approx(by_definition(log_odds, row, background), abs=1e-12)
        assert found.score == pytest.approx(log_odds(row))
        assert adds_up(found)


def test_a_linear_model_gets_weight_times_distance_from_the_mean(mixed: Any) -> None:
    columns, rows, target = mixed
    pipeline = fit(LogisticRegression(), columns, rows, target > 0)
    background = rows[:64]
    encoded = pipeline[:-1].transform(to_frame(columns, [*background, *rows[200:220]]))
    weights = pipeline[-1].coef_[0]
    terms = weights * (encoded[64:] - encoded[:64].mean(axis=0))
    explainer = Explainer(contract_of(columns, (False, True)), build_plan(pipeline, columns).score_rows, background)
    for row, term in zip(rows[200:220], terms, strict=True):
        expected = {"size": term[0], "count": term[1], "flag": term[2], "colour": term[3:].sum()}
        assert explainer.explain(row).contributions == pytest.approx(expected, abs=1e-9)


def test_the_pipeline_itself_gives_what_its_plan_gives(mixed: Any) -> None:
    columns, rows, target = mixed
    pipeline = fit(LogisticRegression(), columns, rows, target > 0)
    contract = contract_of(columns, (False, True))
    planned = Explainer(contract, build_plan(pipeline, columns).score_rows, rows[:20])
    itself = Explainer(contract, pipeline_scorer(pipeline, columns), rows[:20])
    found, expected = itself.explain(rows[50]), planned.explain(rows[50])
    assert found.contributions == pytest.approx(expected.contributions, abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 11, 14]))
@settings(max_examples=25)
def test_contributions_add_up_to_the_score_in_both_methods(seed: int, count: int) -> None:
    table = np.random.default_rng(seed).normal(size=(5, count))
    function = tangled(seed, count)
    found = Explainer(contract_of(numbers(count)), regressor(function), rows_of(table[1:])).explain(rows_of(table)[0])
    assert found.method == ("exact" if count <= explain.EXACT_INPUTS else "permutation")
    assert found.score == pytest.approx(function(table[:1])[0])
    assert found.base_value == pytest.approx(function(table[1:]).mean())
    assert adds_up(found)


@pytest.mark.parametrize("count", [4, 12])
def test_an_input_that_is_not_used_contributes_nothing(count: int) -> None:
    table = np.random.default_rng(0).normal(size=(20, count))
    function = tangled(1, count - 1)
    explainer = Explainer(contract_of(numbers(count)), regressor(lambda x: function(x[:, :-1])), rows_of(table[1:]))
    assert explainer.explain(rows_of(table)[0]).contributions[f"x{count - 1}"] == 0


def test_inputs_that_do_the_same_contribute_the_same() -> None:
    table = np.random.default_rng(0).normal(size=(20, 4))
    table[:, 1] = table[:, 0]
    score = regressor(lambda x: np.sin(x[:, 0] + x[:, 1]) * x[:, 2] + x[:, 0] * x[:, 1])
    found = Explainer(contract_of(numbers(4)), score, rows_of(table[1:])).explain(rows_of(table)[0])
    assert found.contributions["x0"] == pytest.approx(found.contributions["x1"], abs=1e-12)
    assert found.contributions["x0"] != 0


@pytest.mark.parametrize("count", [5, 12])
def test_contributions_to_a_sum_of_models_are_sums_of_contributions(count: int) -> None:
    table = np.random.default_rng(0).normal(size=(20, count))
    one, other = tangled(1, count), tangled(2, count)

    def contributions(function: Callable[[Any], Any]) -> Any:
        explainer = Explainer(contract_of(numbers(count)), regressor(function), rows_of(table[1:]))
        return np.array(list(explainer.explain(rows_of(table)[0]).contributions.values()))

    together = contributions(lambda x: 2 * one(x) - other(x))
    np.testing.assert_allclose(together, 2 * contributions(one) - contributions(other), atol=1e-9)


def test_sampled_contributions_are_near_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(5).normal(size=(17, 12))
    arguments = contract_of(numbers(12)), regressor(tangled(5, 12)), rows_of(table[1:])
    sampled = Explainer(*arguments).explain(rows_of(table)[0])
    monkeypatch.setattr(explain, "EXACT_INPUTS", 12)
    exact = Explainer(*arguments).explain(rows_of(table)[0])
    assert (sampled.method, exact.method) == ("permutation", "exact")
    assert sampled.base_value == pytest.approx(exact.base_value)
    largest = max(map(abs, exact.contributions.values()))
    assert sampled.contributions == pytest.approx(exact.contributions, abs=0.05 * largest)


def test_the_predicted_one_of_three_classes_is_explained(mixed: Any) -> None:
    columns, rows, target = mixed
    names = np.array(["low", "mid", "top"])[np.digitize(target, [-0.5, 0.5])]
    pipeline = fit(LogisticRegression(), columns, rows, names)
    plan = build_plan(pipeline, columns)
    explainer = Explainer(contract_of(columns, ("low", "mid", "top")), plan.score_rows, rows[:10])
    explained = set()
    for row in rows[50:70]:
        found = explainer.explain(row)
        prediction, chances = plan.score_row(row)
        assert chances is not None
        assert found.explained_class == prediction
        assert found.score == pytest.approx(math.log(max(chances) / (1 - max(chances))))
        assert adds_up(found)
        explained.add(prediction)
    assert len(explained) > 1


def test_models_that_are_certain_are_explained_in_probabilities(mixed: Any) -> None:
    columns, rows, target = mixed
    plan = build_plan(fit(RandomForestClassifier(5, random_state=0), columns, rows, target > 0), columns)
    found = Explainer(contract_of(columns, (False, True)), plan.score_rows, rows[:30]).explain(rows[40])
    _, chances = plan.score_row(rows[40])
    assert chances is not None
    assert found.scale == "probability"
    assert found.score == pytest.approx(chances[1])
    assert adds_up(found)


def test_what_cannot_be_explained_says_why(mixed: Any) -> None:
    columns, rows, target = mixed
    contract = contract_of(columns, (False, True))
    scorer = pipeline_scorer(fit(RidgeClassifier(), columns, rows, target > 0), columns)
    with pytest.raises(NotExplainable, match="no probability"):
        Explainer(contract, scorer, rows[:5])
    with pytest.raises(NotExplainable, match="no background"):
        Explainer(contract, scorer, [])

    def picky(x: Any) -> Any:
        if (x > 5).any():
            raise ValueError("too much")
        with np.errstate(divide="ignore"):
            return 1 / x[:, 0]

    explainer = Explainer(contract_of(numbers(2)), regressor(picky), rows_of([[1.0, 2.0]]))
    with pytest.raises(NotExplainable, match="too much"):
        explainer.explain({"x0": 1.0, "x1": 9.0})
    with pytest.raises(NotExplainable, match="finite"):
        explainer.explain({"x0": 0.0, "x1": 1.0})


def test_an_artifact_brings_what_its_predictions_are_compared_with(packaged: demo.Packaged, tmp_path: Path) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    rows = read_rows(artifact.contract, artifact.golden.rows)
    explainer, another = (Explainer.from_artifact(artifact, plan.score_rows) for _ in range(2))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(explainer.explain, rows)) == [another.explain(row) for row in rows]
    found = explainer.explain(rows[0])
    assert found.contributions.keys() == set(artifact.contract.input_names)
    assert Explanation.model_validate_json(found.model_dump_json()) == found


def test_an_artifact_without_background_explains_nothing(tmp_path: Path) -> None:
    packaged = demo.package(tmp_path / "artifact", background=[])
    artifact = Artifact.open(packaged.folder, packaged.digest)
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    with pytest.raises(NotExplainable, match=r"background\.json"):
        Explainer.from_artifact(artifact, plan.score_rows)
