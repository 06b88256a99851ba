"""Predictions that depend on the other rows of a batch are found, and rounding is not taken for it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from skline.contract.spec import Column
from skline.scoring.row_independence import find_row_dependence

COLUMNS = (
    Column(name="calls", kind="number"),
    Column(name="fee", kind="number"),
    Column(name="plan", kind="string", choices=("a", "b")),
)
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {"calls": RNG.normal(5, 2, 120), "fee": RNG.normal(30, 9, 120), "plan": np.array(["a", "b"])[np.arange(120) % 2]}
)
CLASSES = (FRAME["calls"] + RNG.normal(0, 1, 120) > 5).to_numpy()
NUMBERS = FRAME["fee"].to_numpy() * 2 + RNG.normal(0, 1, 120)
ROWS = FRAME.head(12).to_dict("records")


def relative_to_the_batch(data: Any) -> Any:
    return data - data.mean(axis=0)


def absolute(data: Any) -> Any:
    return np.abs(data)


def columns(function: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [("category", OneHotEncoder(), ["plan"]), ("relative", FunctionTransformer(function), ["calls", "fee"])]
    )


@pytest.mark.parametrize(
    ("steps", "target", "named"),
    [
        ([("columns", columns(relative_to_the_batch)), ("model", LogisticRegression())], CLASSES, "columns__relative"),
        ([("columns", columns(relative_to_the_batch)), ("model", LinearRegression())], NUMBERS, "columns__relative"),
        ([("columns", columns(relative_to_the_batch)), ("model", LinearSVC())], CLASSES, "columns__relative"),
        (
            [
                ("columns", columns(absolute)),
                ("batch", FunctionTransformer(relative_to_the_batch)),
                ("model", LogisticRegression()),
            ],
            CLASSES,
            "batch",
        ),
    ],
    ids=["classifier", "regressor", "classes", "step"],
)
def test_a_step_that_uses_the_other_rows_is_named(steps: Any, target: Any, named: str) -> None:
    message = find_row_dependence(Pipeline(steps).fit(FRAME, target), COLUMNS, ROWS)
    assert message is not None
    assert f"the step '{named}' computes a row from other rows" in message
    assert "alone and" in message


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (LogisticRegression(), CLASSES),
        (LinearSVC(), CLASSES),
        (SVC(), CLASSES),
        (KNeighborsClassifier(), CLASSES),
        (MLPClassifier(max_iter=30), CLASSES),
        (RandomForestClassifier(20, n_jobs=2), CLASSES),
        (GradientBoostingRegressor(n_estimators=20), NUMBERS),
        (LinearRegression(), NUMBERS),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rounding_is_no_dependence(model: Any, target: Any) -> None:
    steps = [
        ("columns", columns(absolute)),
        ("scale", StandardScaler()),
        ("power", PowerTransformer()),
        ("model", model),
    ]
    assert find_row_dependence(Pipeline(steps).fit(FRAME, target), COLUMNS, ROWS) is None


def test_a_model_that_uses_the_other_rows_is_found_without_a_step() -> None:
    class BatchMean(LinearRegression):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            predicted = super().predict(X)
            return predicted - predicted.mean()

    fitted = Pipeline([("columns", columns(absolute)), ("model", BatchMean())]).fit(FRAME, NUMBERS)
    message = find_row_dependence(fitted, COLUMNS, ROWS)
    assert message is not None
    assert "the last step computes a row from other rows" in message
