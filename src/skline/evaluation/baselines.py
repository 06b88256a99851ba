"""Baselines that every model must beat: a constant prediction, and a plain linear model on the same inputs.

They depend on the training rows and the seed alone, and not on the model: their threshold is their own.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skline.contract.spec import Contract
from skline.evaluation.plots import f1_by_threshold
from skline.evaluation.rows import Rows
from skline.features import TextFeatures, TimeFeatures


class Baseline(NamedTuple):
    """A fitted estimator, and the probability from which it predicts the second of two classes."""

    estimator: Any
    threshold: float


def fit_baselines(rows: Rows, contract: Contract, max_rows: int, seed: int) -> dict[str, Baseline]:
    """Fit both baselines on at most `max_rows` training rows, drawn by `seed`; returns name → baseline.

    The threshold of a binary baseline is the one with the best F1 on these rows.
    """
    names = [*contract.input_names, contract.target.name]
    if rows.n_rows > max_rows:
        drawn = rows.take(np.sort(np.random.default_rng(seed).permutation(rows.n_rows)[:max_rows]), names)
    else:
        drawn = rows.read(names)
    X, y = drawn[contract.input_names], drawn[contract.target.name].to_numpy()
    baselines = {}
    for name, build in {"dummy": build_dummy, "linear": build_linear}.items():
        estimator = build(contract).fit(X, y)
        threshold = 0.5
        if contract.task == "binary":
            threshold = best_f1_threshold(y == (contract.classes or ())[1], estimator.predict_proba(X)[:, 1])
        baselines[name] = Baseline(estimator, threshold)
    return baselines


def best_f1_threshold(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Return the threshold with the best F1; of several, the lowest."""
    table = f1_by_threshold(truth, scores)
    return float(table["threshold"][table["f1"].argmax()])


def build_dummy(contract: Contract) -> Any:
    """Return an estimator that predicts the training part's class shares, or its mean."""
    return DummyRegressor() if contract.task == "regression" else DummyClassifier(strategy="prior")


def build_linear(contract: Contract) -> Pipeline:
    """Return a linear model: categories one-hot, texts by their n-grams, dates cyclic, numbers imputed and scaled."""
    columns_by_kind: dict[str, list[str]] = {}
    for column in contract.inputs:
        kind = {"string": "category", "date": "date", "datetime": "datetime"}.get(column.kind, "number")
        if column.feature_group == "text":
            kind = "text"  # nearly every text is a category of its own, and all would be rare ones
        columns_by_kind.setdefault(kind, []).append(column.name)
    steps = {
        "category": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20),
        "text": make_pipeline(
            TextFeatures(n_components=100, random_state=0), SimpleImputer(strategy="constant", fill_value=0)
        ),
        "date": make_pipeline(TimeFeatures(("month", "weekday"), "cyclic"), SimpleImputer()),
        "datetime": make_pipeline(TimeFeatures(("month", "weekday", "hour"), "cyclic"), SimpleImputer()),
        "number": make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()),
    }
    columns = ColumnTransformer([(kind, steps[kind], names) for kind, names in columns_by_kind.items()])
    model = Ridge() if contract.task == "regression" else LogisticRegression(max_iter=300)
    return Pipeline([("columns", columns), ("model", model)])
