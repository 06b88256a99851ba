"""Tests of the checks of a pipeline: each passes for the sample project, and says what is wrong with another one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PowerTransformer

from skline import testing
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline

NUMBERS = Contract(
    title="Numbers",
    columns=(Column(name="x", kind="number", example=1.0), Column(name="y", kind="number", role="target")),
    leaks={"late": "known later"},
    task="regression",
)


class Returning(BaseEstimator):  # type: ignore[misc]
    """Predicts what it is told to."""

    def __init__(self, prediction: Any = None) -> None:
        self.prediction = prediction

    def fit(self, X: Any, y: Any) -> "Returning":
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return self.prediction(len(X))


def returning(prediction: Callable[[int], Any]) -> Callable[[Contract], Pipeline]:
    return lambda _: make_pipeline(Returning(prediction))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without params.yaml, as the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pipeline_of_the_sample_project_fits_and_is_planned() -> None:
    contract = demo.contract()
    rows = testing.random_rows(contract)
    fitted = testing.fit(build_pipeline, contract, rows)
    assert testing.scoring(fitted, contract, rows).path == "plan"


def test_pipeline_gets_the_parameters_of_the_project(project: Path) -> None:
    (project / "params.yaml").write_text(
        "project: {name: a}\nsource: {uri: a.csv}\ntrain: {params: {model__max_iter: 7}}\n"
    )
    contract = demo.contract()
    assert testing.fit(build_pipeline, contract, testing.random_rows(contract))["model"].n_iter_ == 7
    (project / "params.yaml").write_text(
        "project: {name: a}\nsource: {uri: a.csv}\ntrain: {params: {model__iter: 7}}\n"
    )
    with pytest.raises(SklineError, match="no parameter 'model__iter'"):
        testing.fit(build_pipeline, contract, testing.random_rows(contract))


def test_step_without_a_plan_is_named() -> None:
    rows = testing.random_rows(NUMBERS)
    fitted = testing.fit(lambda _: make_pipeline(PowerTransformer(), DummyRegressor()), NUMBERS, rows)
    scoring = testing.scoring(fitted, NUMBERS, rows)
    assert scoring.path == "pipeline"
    assert "PowerTransformer" in (scoring.reason or "")


def test_pipeline_is_fitted_on_the_inputs_alone() -> None:
    testing.check_fit_inputs(build_pipeline, demo.contract())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["x", "late"], "fitted on late, a leak: known later"),
        (["x", "y"], "fitted on y, which is not in Inputs"),
        ([], r"fitted on \[\], and the inputs are \['x'\]"),
    ],
)
def test_other_inputs_are_named(columns: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the stage `train` gave the pipeline other columns than the contract's inputs."""

    def train(rows: pd.DataFrame, contract: Contract, build: Any, *_: Any) -> None:
        build(contract).fit(rows[columns], rows["y"])

    monkeypatch.setattr("skline.testing.pipeline.train", train)
    with pytest.raises(AssertionError, match=message):
        testing.check_fit_inputs(returning(np.zeros), NUMBERS)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (lambda n: np.zeros((n, 2)), r"an array of shape \(200, 2\)"),
        (lambda n: np.full(n, np.nan), "not finite"),
    ],
)
def test_impossible_numbers_are_reported(prediction: Callable[[int], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.fit(returning(prediction), NUMBERS, testing.random_rows(NUMBERS))


def test_error_of_a_fit_comes_without_the_traceback_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise SklineError("no column 'distance'") from ValueError("'distance' is not in list")

    monkeypatch.setattr("skline.testing.pipeline.train", fail)
    with pytest.raises(SklineError, match="no column 'distance'") as caught:
        testing.fit(returning(np.zeros), NUMBERS, testing.random_rows(NUMBERS))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert [entry.name for entry in caught.traceback][1:] == ["fit"]


def test_unknown_classes_are_reported() -> None:
    contract = demo.contract()
    build = returning(lambda n: np.full(n, "maybe"))
    with pytest.raises(AssertionError, match="predicts {'maybe'}; the classes of the contract are"):
        testing.fit(build, contract, testing.random_rows(contract))
