"""Other people's clients against a real service and its real model: the same bits as /predict, and rows in the log."""

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
from tests import demo
from tests.serving.protocols.test_mlflow import mlflows_client
from tests.serving.protocols.test_v2 import tensors
from tests.serving.test_logged import rows_of
from tests.serving.test_review import service

ROWS = 40


@pytest.fixture
def client(packaged: demo.Packaged, tmp_path: Path) -> Iterator[httpx.Client]:
    with service(packaged, tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Rows that the model did not see, one distance in seven missing."""
    frame = demo.parts()["live"][demo.contract().input_names].head(ROWS).reset_index(drop=True)
    frame["distance"] = frame["distance"].where(frame.index % 7 != 0)
    return frame


def asked_one_by_one(client: httpx.Client, flights: pd.DataFrame) -> list[dict[str, Any]]:
    return [client.post("/predict", json=row).json() for row in to_json_rows(demo.contract().inputs, flights)]


def check_log(folder: Path, own: list[dict[str, Any]], ids: list[str], request_id: str | None = None) -> None:
    """Each row of the foreign request stands beside /predict's, told by its id, made of the same, answered the same."""
    rows = {row["prediction_id"]: row for row in rows_of(folder, 2 * ROWS).to_pylist()}
    assert len(set(ids)) == ROWS
    for answer, foreign in zip(own, ids, strict=True):
        mine, theirs = rows[answer["prediction_id"]], rows[foreign]
        for name in ("inputs", "prediction", "probabilities", "model_version", "artifact_digest", "path"):
            assert theirs[name] == mine[name], name
    requests = {rows[foreign]["request_id"] for foreign in ids}
    assert len(requests) == 1
    assert requests == {request_id} or request_id is None
    assert requests.isdisjoint(rows[answer["prediction_id"]]["request_id"] for answer in own)


def test_tritons_client_gets_the_bits_of_predict(client: httpx.Client, tmp_path: Path, flights: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tritonclient import http as triton
    own = asked_one_by_one(client, flights)
    asking = triton.InferenceServerClient(f"127.0.0.1:{client.base_url.port}")
    model = asking.get_model_metadata("demo")
    assert (asking.is_model_ready("demo"), model["versions"]) == (True, [own[0]["model_version"]])
    result = asking.infer("demo", tensors(triton, flights, as_bytes=True), headers={"X-Request-ID": "tritons"})
    asking.close()
    assert result.as_numpy("prediction").tolist() == [answer["prediction"] for answer in own]
    chances = [[answer["probabilities"][name] for name in ("false", "true")] for answer in own]
    assert result.as_numpy("probabilities").tolist() == chances
    ids = [one.decode() for one in result.as_numpy("prediction_id").tolist()]
    check_log(tmp_path, own, ids, "tritons")


def test_mlflows_client_gets_the_bits_of_predict(client: httpx.Client, tmp_path: Path, flights: pd.DataFrame) -> None:
    own = asked_one_by_one(client, flights)
    scoring = mlflows_client(client)
    scoring.wait_server_ready(timeout=5)
    answer = scoring.invoke(flights)
    assert answer.get_predictions("ndarray").tolist() == [one["prediction"] for one in own]
    assert answer["probabilities"] == [one["probabilities"] for one in own]
    assert answer["model_version"] == own[0]["model_version"]
    check_log(tmp_path, own, answer["prediction_ids"])


@pytest.mark.parametrize("form", ["dataframe_split", "csv"])
def test_documented_bodies_get_the_bits_of_predict(
    client: httpx.Client, tmp_path: Path, flights: pd.DataFrame, form: str
) -> None:
    own = asked_one_by_one(client, flights)
    if form == "csv":
        body, kind = flights.to_csv(index=False).encode(), "text/csv"
    else:
        rows = to_json_rows(demo.contract().inputs, flights)
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        body, kind = orjson.dumps({form: table}), "application/json"
    answer = client.post("/invocations", content=body, headers={"content-type": kind, "x-request-id": "documented"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["probabilities"] == [one["probabilities"] for one in own]
    check_log(tmp_path, own, answer.json()["prediction_ids"], "documented")
    stored = values(rows_of(tmp_path, 2 * ROWS)["probabilities"])
    assert stored[:ROWS] == stored[ROWS:] == answer.json()["probabilities"]
