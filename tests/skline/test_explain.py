"""Contributions are Shapley values: they add up to the score, are symmetric and linear, and equal the definition."""

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
from skline.scoring.golden_verification import parse_rows
from skline.scoring.pipeline_scorer import pipeline_scorer
from skline.scoring.planning import build_plan
from skline.scoring.scores import Scores
from tests.fixtures import demo

Row = dict[str, Value]
ScoreRows = Callable[[Sequence[Mapping[str, Value]]], Scores]


def contract_for(inputs: Sequence[Column], classes: tuple[Scalar, ...] | None = None) -> Contract:
    task = "regression" if classes is None else "binary" if len(classes) == 2 else "multiclass"
    target = Column(name="target", kind="number", role="target")
    return Contract(title="Rows", columns=(*inputs, target), task=task, classes=classes)


def number_columns(count: int) -> list[Column]:
    return [Column(name=f"x{index}", kind="number") for index in range(count)]


def to_rows(values: Any) -> list[Row]:
    return [{f"x{index}": value for index, value in enumerate(row)} for row in np.asarray(values).tolist()]


def regressor(function: Callable[[Any], Any]) -> ScoreRows:
    """Return a regressor that applies a function to an array of shape (n, inputs)."""
    return lambda rows: Scores(function(np.array([list(row.values()) for row in rows], dtype=float)), None)


def function_with_interactions(seed: int, count: int) -> Callable[[Any], Any]:
    """Return a function with interactions of pairs and triples, and with discontinuities."""
    random = np.random.default_rng(seed)
    pairs, triples = random.integers(0, count, (count, 2)), random.integers(0, count, (count, 3))
    weights = random.normal(size=(2, count))

    def function(x: Any) -> Any:
        smooth = (weights[0] * x[:, pairs].prod(axis=2)).sum(axis=1)
        return smooth + (weights[1] * (x[:, triples].sum(axis=2) > 0)).sum(axis=1)

    return function


def shapley_by_definition(score: Callable[[Row], float], row: Row, background: list[Row]) -> dict[str, float]:
    """Return each input's mean gain over all orders of the inputs and over the background."""
    names = list(row)
    totals = dict.fromkeys(names, 0.0)
    for background_row in background:
        for order in permutations(names):
            mixed = dict(background_row)
            before = score(mixed)
            for name in order:
                mixed[name] = row[name]
                after = score(mixed)
                totals[name] += after - before
                before = after
    return {name: total / len(background) / math.factorial(len(names)) for name, total in totals.items()}


def adds_up(explanation: Explanation) -> bool:
    return math.isclose(
        explanation.base_value + sum(explanation.contributions.values()), explanation.score, abs_tol=1e-9
    )


@pytest.fixture(scope="module")
def mixed_table() -> tuple[list[Column], list[Row], Any]:
    """Return columns with missing values and categories, rows, and a target that depends on them."""
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
    """Fit on one-hot categories and imputed, scaled numbers, so that each encoded column comes from one input."""
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    scaler = make_pipeline(SimpleImputer(), StandardScaler())
    columns_to = make_column_transformer((scaler, ["size", "count", "flag"]), (encoder, ["colour"]))
    return make_pipeline(columns_to, estimator).fit(to_frame(columns, rows), target)


def test_contributions_of_trees_equal_the_definition(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    trees = HistGradientBoostingClassifier(max_iter=15, min_samples_leaf=5)
    ordinal = OrdinalEncoder(encoded_missing_value=np.nan)
    encode = make_column_transformer((ordinal, ["colour"]), remainder="passthrough")
    pipeline = make_pipeline(encode, trees).fit(to_frame(columns, rows), target > 0)
    plan = build_plan(pipeline, columns)
    background = rows[:6]
    explainer = Explainer(contract_for(columns, (False, True)), plan.score_rows, background)

    def log_odds(row: Row) -> float:
        _, probabilities = plan.score_row(row)
        assert probabilities is not None
        return math.log(probabilities[1] / probabilities[0])

    missing: Row = {"size": None, "count": None, "colour": None, "flag": True}
    for row in (*rows[100:103], missing):
        explanation = explainer.explain(row)
        assert (explanation.method, explanation.scale, explanation.explained_class) == ("exact", "log-odds", True)
        assert explanation.contributions == pytest.approx(shapley_by_definition(log_odds, row, background), abs=1e-12)
        assert explanation.score == pytest.approx(log_odds(row))
        assert adds_up(explanation)


def test_contributions_of_a_linear_model_are_weight_times_distance_from_the_mean(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    pipeline = fit(LogisticRegression(), columns, rows, target > 0)
    background = rows[:64]
    encoded = pipeline[:-1].transform(to_frame(columns, [*background, *rows[200:220]]))
    weights = pipeline[-1].coef_[0]
    terms = weights * (encoded[64:] - encoded[:64].mean(axis=0))
    explainer = Explainer(contract_for(columns, (False, True)), build_plan(pipeline, columns).score_rows, background)
    for row, term in zip(rows[200:220], terms, strict=True):
        expected = {"size": term[0], "count": term[1], "flag": term[2], "colour": term[3:].sum()}
        assert explainer.explain(row).contributions == pytest.approx(expected, abs=1e-9)


def test_pipeline_and_plan_give_the_same_contributions(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    pipeline = fit(LogisticRegression(), columns, rows, target > 0)
    contract = contract_for(columns, (False, True))
    planned = Explainer(contract, build_plan(pipeline, columns).score_rows, rows[:20])
    unplanned = Explainer(contract, pipeline_scorer(pipeline, columns), rows[:20])
    explanation, expected = unplanned.explain(rows[50]), planned.explain(rows[50])
    assert explanation.contributions == pytest.approx(expected.contributions, abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 11, 14]))
@settings(max_examples=25)
def test_contributions_add_up_to_the_score_in_both_methods(seed: int, count: int) -> None:
    table = np.random.default_rng(seed).normal(size=(5, count))
    function = function_with_interactions(seed, count)
    explanation = Explainer(contract_for(number_columns(count)), regressor(function), to_rows(table[1:])).explain(
        to_rows(table)[0]
    )
    assert explanation.method == ("exact" if count <= explain.MAX_EXACT_INPUTS else "permutation")
    assert explanation.score == pytest.approx(function(table[:1])[0])
    assert explanation.base_value == pytest.approx(function(table[1:]).mean())
    assert adds_up(explanation)


@pytest.mark.parametrize("count", [4, 12])
def test_unused_input_contributes_zero(count: int) -> None:
    table = np.random.default_rng(0).normal(size=(20, count))
    function = function_with_interactions(1, count - 1)
    explainer = Explainer(
        contract_for(number_columns(count)), regressor(lambda x: function(x[:, :-1])), to_rows(table[1:])
    )
    assert explainer.explain(to_rows(table)[0]).contributions[f"x{count - 1}"] == 0


def test_symmetric_inputs_contribute_equally() -> None:
    table = np.random.default_rng(0).normal(size=(20, 4))
    table[:, 1] = table[:, 0]
    score = regressor(lambda x: np.sin(x[:, 0] + x[:, 1]) * x[:, 2] + x[:, 0] * x[:, 1])
    explanation = Explainer(contract_for(number_columns(4)), score, to_rows(table[1:])).explain(to_rows(table)[0])
    assert explanation.contributions["x0"] == pytest.approx(explanation.contributions["x1"], abs=1e-12)
    assert explanation.contributions["x0"] != 0


@pytest.mark.parametrize("count", [5, 12])
def test_contributions_are_linear_in_the_model(count: int) -> None:
    table = np.random.default_rng(0).normal(size=(20, count))
    first_function, second_function = function_with_interactions(1, count), function_with_interactions(2, count)

    def contributions(function: Callable[[Any], Any]) -> Any:
        explainer = Explainer(contract_for(number_columns(count)), regressor(function), to_rows(table[1:]))
        return np.array(list(explainer.explain(to_rows(table)[0]).contributions.values()))

    combined = contributions(lambda x: 2 * first_function(x) - second_function(x))
    np.testing.assert_allclose(combined, 2 * contributions(first_function) - contributions(second_function), atol=1e-9)


def test_sampled_contributions_approximate_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(5).normal(size=(17, 12))
    arguments = contract_for(number_columns(12)), regressor(function_with_interactions(5, 12)), to_rows(table[1:])
    sampled = Explainer(*arguments).explain(to_rows(table)[0])
    monkeypatch.setattr(explain, "MAX_EXACT_INPUTS", 12)
    exact = Explainer(*arguments).explain(to_rows(table)[0])
    assert (sampled.method, exact.method) == ("permutation", "exact")
    assert sampled.base_value == pytest.approx(exact.base_value)
    largest = max(map(abs, exact.contributions.values()))
    assert sampled.contributions == pytest.approx(exact.contributions, abs=0.05 * largest)


def test_predicted_class_of_three_is_explained(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    names = np.array(["low", "mid", "top"])[np.digitize(target, [-0.5, 0.5])]
    pipeline = fit(LogisticRegression(), columns, rows, names)
    plan = build_plan(pipeline, columns)
    explainer = Explainer(contract_for(columns, ("low", "mid", "top")), plan.score_rows, rows[:10])
    explained = set()
    for row in rows[50:70]:
        explanation = explainer.explain(row)
        prediction, probabilities = plan.score_row(row)
        assert probabilities is not None
        assert explanation.explained_class == prediction
        assert explanation.score == pytest.approx(math.log(max(probabilities) / (1 - max(probabilities))))
        assert adds_up(explanation)
        explained.add(prediction)
    assert len(explained) > 1


def test_models_with_probabilities_of_zero_or_one_are_explained_in_probabilities(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    plan = build_plan(fit(RandomForestClassifier(5, random_state=0), columns, rows, target > 0), columns)
    explanation = Explainer(contract_for(columns, (False, True)), plan.score_rows, rows[:30]).explain(rows[40])
    _, probabilities = plan.score_row(rows[40])
    assert probabilities is not None
    assert explanation.scale == "probability"
    assert explanation.score == pytest.approx(probabilities[1])
    assert adds_up(explanation)


def test_error_says_why_a_model_or_row_cannot_be_explained(mixed_table: Any) -> None:
    columns, rows, target = mixed_table
    contract = contract_for(columns, (False, True))
    scorer = pipeline_scorer(fit(RidgeClassifier(), columns, rows, target > 0), columns)
    with pytest.raises(NotExplainable, match="no probability"):
        Explainer(contract, scorer, rows[:5])
    with pytest.raises(NotExplainable, match="no background"):
        Explainer(contract, scorer, [])

    def limited_model(x: Any) -> Any:
        if (x > 5).any():
            raise ValueError("too much")
        with np.errstate(divide="ignore"):
            return 1 / x[:, 0]

    explainer = Explainer(contract_for(number_columns(2)), regressor(limited_model), to_rows([[1.0, 2.0]]))
    with pytest.raises(NotExplainable, match="too much"):
        explainer.explain({"x0": 1.0, "x1": 9.0})
    with pytest.raises(NotExplainable, match="finite"):
        explainer.explain({"x0": 0.0, "x1": 1.0})


def test_explainer_uses_the_background_of_the_artifact(packaged: demo.Packaged, tmp_path: Path) -> None:
    artifact = Artifact.open(packaged.folder, packaged.digest)
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    rows = parse_rows(artifact.contract, artifact.golden.rows)
    explainer, another = (Explainer.from_artifact(artifact, plan.score_rows) for _ in range(2))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(explainer.explain, rows)) == [another.explain(row) for row in rows]
    explanation = explainer.explain(rows[0])
    assert explanation.contributions.keys() == set(artifact.contract.input_names)
    assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation


def test_artifact_without_background_cannot_be_explained(tmp_path: Path) -> None:
    packaged = demo.package(tmp_path / "artifact", background=[])
    artifact = Artifact.open(packaged.folder, packaged.digest)
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    with pytest.raises(NotExplainable, match=r"background\.json"):
        Explainer.from_artifact(artifact, plan.score_rows)


@pytest.mark.parametrize("classes", [("low", "mid", "high"), (0, 1, 2)])
def test_explains_the_predicted_class_whatever_its_type(classes: tuple[Scalar, ...]) -> None:
    random = np.random.default_rng(5)
    weights = random.normal(size=(3, 3))

    def score_rows(rows: Sequence[Mapping[str, Value]]) -> Scores:
        powers = np.exp(np.array([list(row.values()) for row in rows], dtype=float) @ weights)
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        labels = np.array(classes, dtype=object if isinstance(classes[0], str) else np.int64)
        return Scores(labels[probabilities.argmax(axis=1)], probabilities)

    columns = number_columns(3)
    explainer = Explainer(contract_for(columns, classes), score_rows, to_rows(random.normal(size=(20, 3))))
    for row in to_rows(random.normal(size=(5, 3))):
        explanation = explainer.explain(row)
        assert adds_up(explanation)
        assert explanation.explained_class == score_rows([row]).predictions[0]
