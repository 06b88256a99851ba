"""A regressor that knows how far it may be off says so with every number."""

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline

from skline.contract.spec import Column, Contract
from skline.tuning.record import Interval, Tuning
from tests import demo

CONTRACT = Contract(
    title="made up",
    columns=(Column(name="x", kind="number", example=1.0), Column(name="y", kind="number", role="target")),
    task="regression",
)


def test_each_predicted_number_comes_with_its_interval(serve: Callable[..., httpx.Client], tmp_path: Path) -> None:
    fitted = Pipeline([("model", LinearRegression())]).fit(pd.DataFrame({"x": [0.0, 1.0]}), np.array([1.0, 3.0]))
    tuning = Tuning(rows=50, interval=Interval(level=0.9, half_width=0.5, rows=50))
    packaged = demo.package(tmp_path / "artifact", fitted, CONTRACT, [{"x": 2.0}], tuning=tuning)
    client = serve(packaged.folder, packaged.digest)
    answer = client.post("/predict", json={"x": 2.0}).json()
    assert [answer["prediction"], *answer["interval"]] == pytest.approx([5.0, 4.5, 5.5])
    batch = client.post("/predict/batch", json=[{"x": 0.0}, {"x": 1.0}]).json()
    assert [end for each in batch["predictions"] for end in each["interval"]] == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert '"interval"' in client.get("/openapi.json").text
