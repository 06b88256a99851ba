"""`train.search`: bounded, reproducible, on folds of the training part, and always with the default configuration."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.features import BoostingClassifier
from skline.search.result import NO_SEARCH, SearchResult
from skline.search.search import make_folds, search
from skline.search.space import default_space, draw_candidates
from skline.settings import Search, Settings, Split, Train
from skline.settings.source import Source
from skline.stages.train import search_params, train

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


def settings(kind: str = "random", **overrides: Any) -> Settings:
    cuts: dict[str, Any] = {"validation_from": "2025-01-01", "test_from": "2025-02-01"} if kind == "time" else {}
    search_settings = Search(**{"candidates": 5, "space": SPACE} | overrides)
    return Settings(
        source=Source(uri="t.csv"),
        split=Split(kind=kind, **cuts),
        train=Train(seed=5, search=search_settings),  # type: ignore[arg-type]
    )


def test_search_is_off_by_default() -> None:
    assert search_params(table(), CONTRACT, build, settings(candidates=0)) == NO_SEARCH
    assert Train().search.candidates == 0


@pytest.mark.parametrize("kind", ["random", "group", "time"])
def test_the_same_seed_gives_the_same_trials_and_the_same_model(kind: str) -> None:
    models = []
    for _ in range(2):
        result = search_params(table(), CONTRACT, build, settings(kind))
        models.append((result, train(table(), CONTRACT, build, result.params, seed=5)))
    (first, first_model), (second, second_model) = models
    assert [(t.params, t.scores) for t in first.trials] == [(t.params, t.scores) for t in second.trials]
    assert np.array_equal(
        first_model.predict_proba(table()[["a", "b"]]), second_model.predict_proba(table()[["a", "b"]])
    )
    assert len(first.trials) == 5
    assert first.chosen == int(np.argmax([trial.score for trial in first.trials]))


def test_the_default_configuration_is_the_first_candidate_and_is_kept_if_no_other_is_better() -> None:
    result = search_params(table(), CONTRACT, build, settings(space={"model__learning_rate": [1e-9]}, candidates=9))
    assert [trial.params for trial in result.trials] == [{}, {"model__learning_rate": 1e-9}]
    assert (result.chosen, result.params) == (0, {})
    default_only = search_params(table(), CONTRACT, build, settings(candidates=1))
    assert [trial.params for trial in default_only.trials] == [{}]


def test_the_default_configuration_includes_train_params() -> None:
    defaults = settings(candidates=1)
    with_params = defaults.model_copy(
        update={"train": defaults.train.model_copy(update={"params": {"model__max_iter": 40}})}
    )
    model = train(table(), CONTRACT, build, {"model__max_iter": 40}, seed=5)
    result = search_params(table(), CONTRACT, build, with_params)
    assert result.trials[0].score > search_params(table(), CONTRACT, build, defaults).trials[0].score
    assert model[-1].max_iter == 40


def test_a_result_survives_a_json_round_trip() -> None:
    result = search_params(table(), CONTRACT, build, settings())
    assert SearchResult.from_json(result.to_json()) == result
    assert SearchResult.from_json(NO_SEARCH.to_json()) == NO_SEARCH


def test_the_default_configuration_is_tried_even_if_the_time_limit_is_reached_at_once() -> None:
    result = search_params(table(), CONTRACT, build, settings(seconds=1e-9))
    assert (len(result.trials), result.requested, result.params) == (1, 5, {})


def test_folds_are_made_as_the_split_is() -> None:
    rows = table().sort_values("at", ignore_index=True)
    name, folds = make_folds(rows, CONTRACT, "time", 3, seed=1)
    assert name == "TimeSeriesSplit(3)"
    assert all(rows["at"][fit].max() < rows["at"][score].min() for fit, score in folds)
    _, folds = make_folds(rows, CONTRACT, "group", 3, seed=1)
    assert all(not set(rows["who"][fit]) & set(rows["who"][score]) for fit, score in folds)
    _, folds = make_folds(rows, CONTRACT, "random", 3, seed=1)
    shares = [rows["y"][score].mean() for _, score in folds]
    assert max(shares) - min(shares) < 0.02
    for divided in (folds, make_folds(rows, CONTRACT.model_copy(update={"task": "regression"}), "group", 4, 1)[1]):
        assert sorted(i for _, score in divided for i in score) == list(range(len(rows)))


def test_folds_by_time_do_not_depend_on_the_order_of_the_rows() -> None:
    rows = table()
    in_order = search_by_time(rows.sort_values("at"))
    assert search_by_time(rows).trials[0].scores == in_order.trials[0].scores


def search_by_time(rows: pd.DataFrame) -> SearchResult:
    return search(
        build(CONTRACT).set_params(model__random_state=0), rows, CONTRACT, Search(candidates=1), "time", seed=1
    )


def test_the_default_space_suits_the_estimator_also_inside_wrappers() -> None:
    early_stopping = make_pipeline(HistGradientBoostingClassifier(early_stopping=True))
    fixed_trees = make_pipeline(TransformedTargetRegressor(HistGradientBoostingRegressor(early_stopping=False)))
    assert "histgradientboostingclassifier__max_iter" not in default_space(early_stopping)
    assert "transformedtargetregressor__regressor__max_iter" in default_space(fixed_trees)
    stopped = make_pipeline(BoostingClassifier(LGBMClassifier(), early_stopping_rounds=10))
    assert "boostingclassifier__estimator__n_estimators" not in default_space(stopped)
    assert "boostingclassifier__estimator__n_estimators" in default_space(
        make_pipeline(BoostingClassifier(LGBMClassifier()))
    )
    for pipeline in (early_stopping, fixed_trees, make_pipeline(LogisticRegression()), stopped):
        drawn = draw_candidates(default_space(pipeline), 30, seed=2)
        assert drawn == draw_candidates(default_space(pipeline), 30, seed=2)
        assert drawn[0] == {}
        assert len(drawn) == 30
        for params in drawn:
            pipeline.set_params(**params)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"space": {"model__learning_rat": [1]}}, "no parameter 'model__learning_rat'; did you mean"),
        ({"metric": "log_los"}, "no scorer 'log_los'; did you mean neg_log_loss"),
        ({"metric": "zzz"}, "no scorer 'zzz'; such as neg_log_loss and f1_macro"),
        ({"space": {"model__learning_rate": [-1.0]}}, "configuration model__learning_rate=-1.0 cannot be"),
    ],
)
def test_an_invalid_search_is_an_error_that_names_the_setting(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SklineError, match=message):
        search_params(table(), CONTRACT, build, settings(**overrides))


def test_an_estimator_without_a_default_space_is_an_error() -> None:
    with pytest.raises(SklineError, match="no default space for DummyClassifier; add one as train.search.space"):
        search_params(table(), CONTRACT, lambda _: make_pipeline(DummyClassifier()), settings(space={}))


def test_too_few_rows_groups_or_rows_of_a_class_are_an_error() -> None:
    few = table().assign(who="one")
    with pytest.raises(SklineError, match="1 groups are too few for 3 folds"):
        search_params(few, CONTRACT, build, settings("group"))
    rare = table().assign(y=[True, *[False] * 239])
    with pytest.raises(SklineError, match="one of 3 folds .* lacks a class of y"):
        search_params(rare, CONTRACT, build, settings())
    with pytest.raises(SklineError, match="3 rows are too few for 3 folds"):
        search_params(table(3), CONTRACT, build, settings("time"))


@pytest.mark.parametrize("bad", [{"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, []])
def test_an_empty_range_is_rejected(bad: Any) -> None:
    with pytest.raises(ValueError, match="low must be|at least 1 item"):
        Search(space={"model__x": bad})
