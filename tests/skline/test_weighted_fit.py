"""Weights reach the estimator of a pipeline, in the fit, in the search, and in each library of boosted trees."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.search.search import search
from skline.settings import Search
from skline.stages.train import train
from skline.weighted_fit import fit_arguments

CONTRACT = Contract(
    title="T",
    columns=(Column(name="x", kind="number"), Column(name="y", kind="boolean", role="target")),
    task="binary",
    classes=(False, True),
)


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of which the first half says the opposite of the second one, and weights that leave it out."""
    x = np.random.default_rng(3).normal(size=400)
    y = np.where(np.arange(400) < 200, x < 0, x > 0)
    return pd.DataFrame({"x": x, "y": y}), np.where(np.arange(400) < 200, 0.01, 1.99)


def build(_: Contract) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])


def test_fit_follows_the_rows_of_large_weight() -> None:
    frame, weights = rows()
    plain, weighted = (train(frame, CONTRACT, build, {}, 1, each) for each in (None, weights))
    assert abs(plain[-1].coef_[0, 0]) < 0.3
    assert weighted[-1].coef_[0, 0] > 2


def test_weights_of_whole_numbers_fit_as_repeated_rows() -> None:
    frame, _ = rows()
    counts = np.random.default_rng(4).integers(1, 4, len(frame))
    weighted = LogisticRegression(tol=1e-10).fit(frame[["x"]], frame["y"], counts)
    repeated = LogisticRegression(tol=1e-10).fit(
        frame[["x"]].loc[frame.index.repeat(counts)], frame["y"].repeat(counts)
    )
    assert weighted.coef_ == pytest.approx(repeated.coef_, abs=1e-4)


def test_search_scores_by_the_weights() -> None:
    frame, weights = rows()
    settings = Search(candidates=2, folds=3, space={"model__C": [0.001, 10.0]})
    plain, weighted = (
        search(build(CONTRACT), frame, CONTRACT, settings, "random", 1, each) for each in (None, weights)
    )
    assert plain.trials[0].score < -0.69, "no better than chance"
    assert weighted.trials[0].score > -0.4


def test_estimator_without_weights_is_an_error_that_names_it() -> None:
    frame, weights = rows()
    with pytest.raises(SklineError, match="KNeighborsClassifier in src/model/pipeline.py takes no weights of rows"):
        train(frame, CONTRACT, lambda _: Pipeline([("model", KNeighborsClassifier())]), {}, 1, weights)
    assert fit_arguments(build(CONTRACT), None) == {}


def test_transformed_target_passes_weights_on() -> None:
    frame, weights = rows()
    pipeline = Pipeline([("model", TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1))])
    pipeline.fit(frame[["x"]], frame["x"].abs(), **fit_arguments(pipeline, weights))
    assert np.isfinite(pipeline.predict(frame[["x"]])).all()
