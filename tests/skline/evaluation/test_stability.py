"""Fits on fewer rows: a share of the training rows that lacks a class has no value."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from skline.contract.spec import Column, Contract
from skline.evaluation.stability import learning_curve

CONTRACT = Contract(
    title="Rare", columns=(Column(name="x", kind="number"), Column(name="y", kind="boolean", role="target")),
    task="binary", classes=(False, True),
)  # fmt: skip


def table(rows: int, positive: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    y = random.permutation(rows) < positive
    return pd.DataFrame({"x": random.normal(size=rows) + y, "y": y})


@pytest.mark.parametrize(("positive", "fitted"), [(200, [40, 100, 200]), (4, [200])])
def test_shares_without_a_class_are_left_out(positive: int, fitted: list[int]) -> None:
    train = table(400, positive, seed=0)
    pipeline = Pipeline([("model", LogisticRegression())]).fit(train[["x"]], train["y"])
    points = learning_curve(pipeline, train, table(300, 60, seed=1), CONTRACT, "roc_auc", seed=20)
    assert [point["rows"] for point in points] == fitted
    assert all(0 < point["value"] < 1 for point in points)
