"""Responses to rows: probabilities, intervals, and the same fields whether rows are built alone or together."""

from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from skline.artifact.tuning import Interval, Tuning
from skline.contract.spec import Column, Contract
from skline.scoring.scores import Scores
from skline.serving.errors import RequestError
from skline.serving.models.response import ResponseBuilder, check_row, check_rows
from tests.fixtures import demo
from tests.fixtures.service import metric

CONTRACT = Contract(
    title="Line",
    columns=(Column(name="x", kind="number", example=1.0), Column(name="y", kind="number", role="target")),
    task="regression",
)


def test_predicted_numbers_have_an_interval_if_the_artifact_is_tuned(
    serve: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    fitted = Pipeline([("model", LinearRegression())]).fit(pd.DataFrame({"x": [0.0, 1.0]}), np.array([1.0, 3.0]))
    tuning = Tuning(rows=50, interval=Interval(level=0.9, half_width=0.5, rows=50))
    packaged = demo.package(tmp_path / "artifact", fitted, CONTRACT, [{"x": 2.0}], tuning=tuning)
    client = serve(packaged.folder, packaged.digest)
    response = client.post("/predict", json={"x": 2.0}).json()
    assert [response["prediction"], *response["interval"]] == pytest.approx([5.0, 4.5, 5.5])
    batch = client.post("/predict/batch", json=[{"x": 0.0}, {"x": 1.0}]).json()
    assert [end for each in batch["predictions"] for end in each["interval"]] == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert '"interval"' in client.get("/openapi.json").text


def test_classifier_without_probabilities_whose_classes_are_texts_is_served(
    serve: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    rows = [{"x": float(value)} for value in range(6)]
    classes = ("high", "low", "middle")
    target = Column(name="y", kind="string", role="target", choices=classes)
    contract = Contract(title="Levels", columns=(CONTRACT.columns[0], target), task="multiclass", classes=classes)
    fitted = Pipeline([("model", LinearSVC())]).fit(
        pd.DataFrame(rows), ["low", "low", "middle", "middle", "high", "high"]
    )
    packaged = demo.package(tmp_path / "artifact", fitted, contract, rows[:1])
    client = serve(packaged.folder, packaged.digest)
    expected = fitted.predict(pd.DataFrame(rows)).tolist()
    assert [client.post("/predict", json=row).json()["prediction"] for row in rows] == expected
    batch = client.post("/predict/batch", json=rows).json()["predictions"]
    assert [each["prediction"] for each in batch] == expected
    assert "probabilities" not in batch[0]
    assert metric(client, "skline_score_count") == 0


@pytest.mark.parametrize(
    ("classes", "half_width", "scores"),
    [
        ((False, True), None, Scores(np.array([True, False]), np.array([[0.2, 0.8], [0.9, 0.1]]))),
        (("a", "b", "c"), None, Scores(np.array(["c", "a"]), np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]))),
        (None, 0.5, Scores(np.array([1.5, -2.0]), None)),
        (None, None, Scores(np.array([1.5, -2.0]), None)),
    ],
)
def test_rows_built_together_equal_rows_built_alone(
    classes: tuple[bool | str, ...] | None, half_width: float | None, scores: Scores
) -> None:
    builder = ResponseBuilder("demo@1", classes, path="plan", half_width=half_width, fallback="rule")
    contents = builder.rows(scores, ["x", "y"])
    assert contents == [builder.row(scores.row(index), "xy"[index]) for index in range(2)]
    assert {content["fallback"] for content in contents} == {"rule"}


def test_booleans_are_class_names_as_in_json() -> None:
    builder = ResponseBuilder("demo@1", (False, True), path="plan")
    assert builder.row((True, (0.25, 0.75)), "x")["probabilities"] == {"false": 0.25, "true": 0.75}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_result_that_is_not_finite_is_rejected_and_its_row_is_named(bad: float) -> None:
    with pytest.raises(RequestError, match="row 0"):
        check_row((True, (0.5, bad)))
    with pytest.raises(RequestError, match="row 0"):
        check_row((bad, None))
    with pytest.raises(RequestError, match="row 1"):
        check_rows(Scores(np.array([True, True]), np.array([[0.5, 0.5], [0.5, bad]])))
    with pytest.raises(RequestError, match="row 1"):
        check_rows(Scores(np.array([1.0, bad]), None))
