"""Tests of the stage train: the fit uses the inputs only, is reproducible, and rejects unknown parameters."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.scoring.plan_storage import dump_plan
from skline.scoring.planning import ScoringChoice, build_plan
from skline.stages.train import train, unused_inputs
from skline.stages.tune import describe_scoring
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

FEW = {"model__max_iter": 5}


def test_same_seed_gives_same_predictions() -> None:
    rows, inputs = demo.parts()["train"], demo.contract().input_names
    first, second = (train(rows, demo.contract(), build_pipeline, FEW, seed=3) for _ in range(2))
    test = demo.parts()["test"][inputs]
    assert np.array_equal(first.predict_proba(test), second.predict_proba(test))


def test_fit_gets_neither_leaks_nor_labels_as_inputs() -> None:
    seen: list[list[str]] = []

    class Spy(DummyClassifier):
        def fit(self, X: pd.DataFrame, y: object, **kwargs: object) -> "Spy":
            seen.append(list(X.columns))
            return super().fit(X, y, **kwargs)

    def build(_: Contract) -> Pipeline:
        return Pipeline([("model", Spy())])

    rows = demo.parts()["train"]
    rows = rows.assign(**dict.fromkeys(demo.contract().leaks, 1.0))
    train(rows, demo.contract(), build, {}, seed=1)
    assert seen == [demo.contract().input_names]
    assert not set(seen[0]) & {*demo.contract().leaks, "late"}


def test_columns_known_after_departure_are_declared_as_leaks() -> None:
    assert {"dep_time", "dep_delay", "arr_time", "air_time", "arr_delay"} <= demo.contract().leaks.keys()


def test_error_for_an_unknown_parameter_suggests_the_closest_one() -> None:
    with pytest.raises(SklineError, match="no parameter 'model__max_itr'; did you mean 'model__max_iter'"):
        train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_itr": 5}, seed=1)


def test_error_for_an_invalid_value_has_the_message_of_scikit_learn() -> None:
    with pytest.raises(SklineError, match="'max_iter' parameter"):
        train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": -1}, seed=1)


def test_error_for_a_misspelt_column_names_the_inputs() -> None:
    def build(contract: Contract) -> Pipeline:
        return make_pipeline(ColumnTransformer([("number", "passthrough", ["distanc"])]), DummyClassifier())

    with pytest.raises(SklineError, match="'distanc'.*did you mean 'distance'. The inputs are flight_date, carrier"):
        train(demo.parts()["train"], demo.contract(), build, {}, seed=1)


def test_seed_is_set_only_where_random_state_is_none() -> None:
    pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, FEW, seed=7)
    assert pipeline.get_params()["model__random_state"] == 7
    pipeline = train(demo.parts()["train"], demo.contract(), build_pipeline, FEW | {"model__random_state": 1}, seed=7)
    assert pipeline.get_params()["model__random_state"] == 1


def test_unseen_category_and_missing_value_get_a_prediction() -> None:
    rows = demo.parts()["test"][demo.contract().input_names].head(3).copy()
    rows["dest"] = "ZZZ"
    rows["distance"] = np.nan
    assert np.isfinite(demo.pipeline().predict_proba(rows)).all()


def test_feature_groups_that_the_pipeline_does_not_take_are_listed() -> None:
    contract = demo.contract()
    assert unused_inputs(build_pipeline(contract), contract) == {}
    columns = tuple(
        column.model_copy(update={"feature_group": "edited"}) if column.name == "distance" else column
        for column in contract.columns
    )
    edited = contract.model_copy(update={"columns": columns})
    assert unused_inputs(build_pipeline(contract), edited) == {}, "its column is still taken"
    without = ColumnTransformer([("category", "passthrough", ["origin"])])
    assert "number" in unused_inputs(Pipeline([("columns", without)]), contract)


def test_a_pipeline_without_a_plan_is_told_why_and_how_it_gets_one() -> None:
    planned = describe_scoring(ScoringChoice("plan", "bits"))
    assert planned.endswith("its predictions equal the pipeline's to the last bit")
    assert describe_scoring(ScoringChoice("plan", "ulp")).endswith("to 13 digits (the order of additions differs)")
    message = describe_scoring(ScoringChoice("pipeline", "bits", "FunctionTransformer applies 'ratio'"))
    assert message.startswith("scored by the pipeline itself")
    assert "FunctionTransformer applies 'ratio'. To have a plan" in message
    assert "src/model/source.py" in message


def test_equal_fits_give_equal_plans() -> None:
    rows, contract = demo.parts()["train"], demo.contract()

    def build_tree(contract: Contract) -> Pipeline:  # its plan rejects numbers beyond float32
        return Pipeline(
            [
                *build_pipeline(contract).steps[:-1],
                ("fill", SimpleImputer()),
                ("model", DecisionTreeClassifier(max_depth=3)),
            ]
        )

    for build, params in ((build_pipeline, FEW), (build_tree, {})):
        fitted = [train(rows, contract, build, params, seed=3) for _ in range(2)]
        first, second = (dump_plan(build_plan(each, contract.inputs)) for each in fitted)
        assert first == second


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda _: None, "returned NoneType; it must return a Pipeline"),
        (lambda _: make_pipeline(Ridge()), "Ridge in src/model/pipeline.py is no classifier, which the task binary"),
    ],
)
def test_pipeline_of_another_task_is_rejected_before_it_is_fitted(build: Any, message: str) -> None:
    with pytest.raises(SklineError, match=message):
        train(demo.parts()["train"].head(50), demo.contract(), build, {}, 0)


def by_subscript(X: pd.DataFrame) -> pd.DataFrame:
    return X[["distance"]].assign(miles=X["Distanz"])


@pytest.mark.parametrize("select", [by_subscript, lambda X: X[["Distanz"]]])
def test_column_under_the_name_of_its_attribute_is_an_error_of_one_line(select: Any) -> None:
    rows = demo.parts()["train"]
    message = "pipeline.py uses 'Distanz'; the column is called 'distance'"
    with pytest.raises(SklineError, match=message):
        train(
            rows, demo.contract(), lambda _: make_pipeline(FunctionTransformer(select), DummyClassifier()), {}, seed=1
        )


def test_other_key_error_keeps_its_traceback() -> None:
    def look_up(X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(weight={"JFK": 1.0}["nowhere"])

    build = lambda _: make_pipeline(FunctionTransformer(look_up), DummyClassifier())  # noqa: E731
    with pytest.raises(KeyError, match="nowhere"):
        train(demo.parts()["train"], demo.contract(), build, {}, seed=1)
