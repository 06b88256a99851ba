"""Third-party clients against a real service and model get the predictions of /predict, and their rows are logged."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pandas as pd
import pytest

from skline.contract.frames import to_json_rows
from skline.logs.read import values
from tests.fixtures import demo
from tests.fixtures.service import logged_rows, service_with_log
from tests.skline.serving.protocols.test_mlflow import mlflow_client
from tests.skline.serving.protocols.test_open_inference import tensors

ROWS = 40


@pytest.fixture
def client(packaged: demo.Packaged, tmp_path: Path) -> Iterator[httpx.Client]:
    with service_with_log(packaged, tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Rows that the model was not fitted on, with every seventh distance missing."""
    frame = demo.parts()["live"][demo.contract().input_names].head(ROWS).reset_index(drop=True)
    frame["distance"] = frame["distance"].where(frame.index % 7 != 0)
    return frame


def predict_one_by_one(client: httpx.Client, flights: pd.DataFrame) -> list[dict[str, Any]]:
    return [client.post("/predict", json=row).json() for row in to_json_rows(demo.contract().inputs, flights)]


def check_log(folder: Path, expected: list[dict[str, Any]], ids: list[str], request_id: str | None = None) -> None:
    """Check that the third-party request's rows in the log equal those of /predict, except for their ids."""
    rows = {row["prediction_id"]: row for row in logged_rows(folder, 2 * ROWS).to_pylist()}
    assert len(set(ids)) == ROWS
    for prediction, other_id in zip(expected, ids, strict=True):
        row, other = rows[prediction["prediction_id"]], rows[other_id]
        for name in ("inputs", "prediction", "probabilities", "model_version", "artifact_digest", "scoring_path"):
            assert other[name] == row[name], name
    requests = {rows[other_id]["request_id"] for other_id in ids}
    assert len(requests) == 1
    assert requests == {request_id} or request_id is None
    assert requests.isdisjoint(rows[prediction["prediction_id"]]["request_id"] for prediction in expected)


def test_triton_client_gets_the_predictions_of_predict(
    client: httpx.Client, tmp_path: Path, flights: pd.DataFrame
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tritonclient import http as triton
    expected = predict_one_by_one(client, flights)
    triton_client = triton.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
    model = triton_client.get_model_metadata("demo")
    assert (triton_client.is_model_ready("demo"), model["versions"]) == (True, [expected[0]["model_version"]])
    result = triton_client.infer("demo", tensors(triton, flights, as_bytes=True), headers={"X-Request-ID": "triton"})
    triton_client.close()
    assert result.as_numpy("prediction").tolist() == [prediction["prediction"] for prediction in expected]
    probabilities = [[prediction["probabilities"][name] for name in ("false", "true")] for prediction in expected]
    assert result.as_numpy("probabilities").tolist() == probabilities
    ids = [prediction_id.decode() for prediction_id in result.as_numpy("prediction_id").tolist()]
    check_log(tmp_path, expected, ids, "triton")


def test_mlflow_client_gets_the_predictions_of_predict(
    client: httpx.Client, tmp_path: Path, flights: pd.DataFrame
) -> None:
    expected = predict_one_by_one(client, flights)
    scoring = mlflow_client(client)
    scoring.wait_server_ready(timeout=5)
    response = scoring.invoke(flights)
    assert response.get_predictions("ndarray").tolist() == [prediction["prediction"] for prediction in expected]
    assert response["probabilities"] == [prediction["probabilities"] for prediction in expected]
    assert response["model_version"] == expected[0]["model_version"]
    check_log(tmp_path, expected, response["prediction_ids"])


@pytest.mark.parametrize("form", ["dataframe_split", "csv"])
def test_documented_bodies_get_the_predictions_of_predict(
    client: httpx.Client, tmp_path: Path, flights: pd.DataFrame, form: str
) -> None:
    expected = predict_one_by_one(client, flights)
    if form == "csv":
        body, kind = flights.to_csv(index=False).encode(), "text/csv"
    else:
        rows = to_json_rows(demo.contract().inputs, flights)
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        body, kind = orjson.dumps({form: table}), "application/json"
    response = client.post("/invocations", content=body, headers={"content-type": kind, "x-request-id": "documented"})
    assert response.status_code == 200, response.text
    assert response.json()["probabilities"] == [prediction["probabilities"] for prediction in expected]
    check_log(tmp_path, expected, response.json()["prediction_ids"], "documented")
    logged = values(logged_rows(tmp_path, 2 * ROWS)["probabilities"])
    assert logged[:ROWS] == logged[ROWS:] == response.json()["probabilities"]
