"""`train.search`: bounded, repeatable, on folds of the training part, with the default always among the candidates."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.search.found import NO_SEARCH, Found
from skline.search.search import make_folds, search
from skline.search.space import candidates, default_space
from skline.settings import Search, Settings, Split, Train
from skline.settings_source import Source
from skline.stages.train import find, train

CONTRACT = Contract(
    title="t",
    task="binary",
    classes=(False, True),
    columns=(
        Column(name="a", kind="number"),
        Column(name="b", kind="number"),
        Column(name="y", kind="boolean", role="target"),
        Column(name="at", kind="datetime", role="time"),
        Column(name="who", kind="string", role="group"),
    ),
)
SPACE = {"model__learning_rate": [0.02, 0.1, 0.3], "model__max_leaf_nodes": {"low": 2, "high": 12}}


def table(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, n))
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "y": a * b + rng.normal(0, 0.3, n) > 0,
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(n), unit="h"),
            "who": [f"p{i % 12}" for i in range(n)],
        }
    )


def build(_: Contract) -> Pipeline:
    return Pipeline([("model", HistGradientBoostingClassifier(max_iter=4, early_stopping=True))])


def settings(kind: str = "random", **searched: Any) -> Settings:
    cuts: dict[str, Any] = {"validation_from": "2025-01-01", "test_from": "2025-02-01"} if kind == "time" else {}
    chosen = Search(**{"candidates": 5, "space": SPACE} | searched)
    return Settings(
        source=Source(uri="t.csv"),
        split=Split(kind=kind, **cuts),
        train=Train(seed=5, search=chosen),  # type: ignore[arg-type]
    )


def test_it_is_off_by_default() -> None:
    assert find(table(), CONTRACT, build, settings(candidates=0)) == NO_SEARCH
    assert Train().search.candidates == 0


@pytest.mark.parametrize("kind", ["random", "group", "time"])
def test_from_one_seed_it_finds_the_same_and_trains_the_same_model(kind: str) -> None:
    models = []
    for _ in range(2):
        found = find(table(), CONTRACT, build, settings(kind))
        models.append((found, train(table(), CONTRACT, build, found.params, seed=5)))
    (first, one), (second, other) = models
    assert [(t.params, t.scores) for t in first.trials] == [(t.params, t.scores) for t in second.trials]
    assert np.array_equal(one.predict_proba(table()[["a", "b"]]), other.predict_proba(table()[["a", "b"]]))
    assert len(first.trials) == 5
    assert first.chosen == int(np.argmax([trial.score for trial in first.trials]))


def test_the_default_configuration_is_the_first_candidate_and_stays_if_nothing_is_better() -> None:
    found = find(table(), CONTRACT, build, settings(space={"model__learning_rate": [1e-9]}, candidates=9))
    assert [trial.params for trial in found.trials] == [{}, {"model__learning_rate": 1e-9}]
    assert (found.chosen, found.params) == (0, {})
    alone = find(table(), CONTRACT, build, settings(candidates=1))
    assert [trial.params for trial in alone.trials] == [{}]


def test_the_default_configuration_is_that_of_train_params() -> None:
    chosen = settings(candidates=1)
    better = chosen.model_copy(update={"train": chosen.train.model_copy(update={"params": {"model__max_iter": 40}})})
    by_hand = train(table(), CONTRACT, build, {"model__max_iter": 40}, seed=5)
    found = find(table(), CONTRACT, build, better)
    assert found.trials[0].score > find(table(), CONTRACT, build, chosen).trials[0].score
    assert by_hand[-1].max_iter == 40


def test_what_is_found_goes_through_json() -> None:
    found = find(table(), CONTRACT, build, settings())
    assert Found.from_json(found.to_json()) == found
    assert Found.from_json(NO_SEARCH.to_json()) == NO_SEARCH


def test_when_the_seconds_are_over_the_default_was_tried() -> None:
    found = find(table(), CONTRACT, build, settings(seconds=1e-9))
    assert (len(found.trials), found.wanted, found.params) == (1, 5, {})


def test_folds_are_of_the_kind_of_the_split() -> None:
    rows = table().sort_values("at", ignore_index=True)
    name, folds = make_folds(rows, CONTRACT, "time", 3, seed=1)
    assert name == "TimeSeriesSplit(3)"
    assert all(rows["at"][fit].max() < rows["at"][score].min() for fit, score in folds)
    _, folds = make_folds(rows, CONTRACT, "group", 3, seed=1)
    assert all(not set(rows["who"][fit]) & set(rows["who"][score]) for fit, score in folds)
    _, folds = make_folds(rows, CONTRACT, "random", 3, seed=1)
    shares = [rows["y"][score].mean() for _, score in folds]
    assert max(shares) - min(shares) < 0.02
    for found in (folds, make_folds(rows, CONTRACT.model_copy(update={"task": "regression"}), "group", 4, 1)[1]):
        assert sorted(i for _, score in found for i in score) == list(range(len(rows)))


def test_by_time_no_candidate_sees_what_comes_later_however_the_rows_lie() -> None:
    rows = table()
    in_order = search_by_time(rows.sort_values("at"))
    assert search_by_time(rows).trials[0].scores == in_order.trials[0].scores


def search_by_time(rows: pd.DataFrame) -> Found:
    return search(
        build(CONTRACT).set_params(model__random_state=0), rows, CONTRACT, Search(candidates=1), "time", seed=1
    )


def test_the_default_space_follows_the_estimator_and_is_found_inside_wrappers() -> None:
    stops = make_pipeline(HistGradientBoostingClassifier(early_stopping=True))
    counts = make_pipeline(TransformedTargetRegressor(HistGradientBoostingRegressor(early_stopping=False)))
    assert "histgradientboostingclassifier__max_iter" not in default_space(stops)
    assert "transformedtargetregressor__regressor__max_iter" in default_space(counts)
    for pipeline in (stops, counts, make_pipeline(LogisticRegression())):
        drawn = candidates(default_space(pipeline), 30, seed=2)
        assert drawn == candidates(default_space(pipeline), 30, seed=2)
        assert drawn[0] == {}
        assert len(drawn) == 30
        for params in drawn:
            pipeline.set_params(**params)


@pytest.mark.parametrize(
    ("searched", "message"),
    [
        ({"space": {"model__learning_rat": [1]}}, "no parameter 'model__learning_rat'; did you mean"),
        ({"metric": "log_los"}, "no scorer 'log_los'; near are.*neg_log_loss"),
        ({"space": {"model__learning_rate": [-1.0]}}, "configuration {'model__learning_rate': -1.0} cannot be"),
    ],
)
def test_faults_are_named(searched: dict[str, Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        find(table(), CONTRACT, build, settings(**searched))


def test_an_estimator_without_a_space_asks_for_one() -> None:
    with pytest.raises(SklineError, match="no default space for DummyClassifier; write one under train.search.space"):
        find(table(), CONTRACT, lambda _: make_pipeline(DummyClassifier()), settings(space={}))


def test_too_few_rows_groups_or_members_of_a_class_are_told() -> None:
    few = table().assign(who="one")
    with pytest.raises(SklineError, match="3 folds cannot be made of 1 groups"):
        find(few, CONTRACT, build, settings("group"))
    rare = table().assign(y=[True, *[False] * 239])
    with pytest.raises(SklineError, match="one lacks a class of y"):
        find(rare, CONTRACT, build, settings())
    with pytest.raises(SklineError, match="3 folds cannot be made of 3 rows"):
        find(table(3), CONTRACT, build, settings("time"))


@pytest.mark.parametrize("bad", [{"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, []])
def test_an_empty_range_is_no_setting(bad: Any) -> None:
    with pytest.raises(ValueError, match="low must be|at least 1 item"):
        Search(space={"model__x": bad})
