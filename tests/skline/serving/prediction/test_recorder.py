"""Every prediction is logged, in sync mode before its response; a log that fails does not stop the service."""

import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from skline.logs.entity import EntityHasher
from skline.logs.read import read_labelled, values
from skline.logs.settings import LogSettings
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.service import logged_rows, metric, service_with_log


def test_every_prediction_is_logged_with_its_inputs_and_source_and_gets_its_label(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with service_with_log(packaged, tmp_path) as client:
        single = client.post("/predict", json=example, headers={"X-Request-ID": "mine"}).json()
        batch = client.post("/predict/batch", json=[example, example | {"distance": None}]).json()["predictions"]
        mlflow = client.post("/invocations", json={"dataframe_records": [example]}).json()
        client.post("/predict", json=example | {"distance": -1})
        table = logged_rows(tmp_path, 4)
        ids = [response["prediction_id"] for response in (single, *batch)] + mlflow["prediction_ids"]
        assert table["prediction_id"].to_pylist() == ids
        assert table["request_id"].to_pylist()[0] == "mine"
        assert set(table["artifact_digest"].to_pylist()) == {packaged.digest}
        assert set(table["scoring_path"].to_pylist()) == {"plan"}
        assert values(table["inputs"])[2]["distance"] is None
        assert values(table["probabilities"])[0] == single["probabilities"]
        assert all(0 < latency < 10_000_000 for latency in table["latency_us"].to_pylist()[:3])
        labels = [{"prediction_id": single["prediction_id"], "label": True}]
        assert client.post("/labels", json=labels).json() == {"new": 1, "duplicates": 0, "rejected": [], "unknown": 0}
        assert client.post("/labels", json=labels).json() == {"new": 0, "duplicates": 1, "rejected": [], "unknown": 0}
        mixed = client.post("/labels", json=[*labels, {"prediction_id": "x", "label": 7}]).json()
        assert (mixed["duplicates"], mixed["rejected"][0]["index"]) == (1, 1)
        assert values(logged_rows(tmp_path, 4)["label"]) == [True, None, None, None]


def test_sync_mode_logs_the_row_before_the_response(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", mode="sync", sync_ms=300)
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, log=log)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        for count in range(1, 4):
            assert client.post("/predict", json=example).status_code == 200
            assert read_labelled(log).num_rows == count
        shutil.rmtree(tmp_path)
        tmp_path.write_text("a file where the directory was")
        rejected = client.post("/predict", json=example)
        assert (rejected.status_code, rejected.json()["detail"][0]["type"]) == (503, "not_logged")
        tmp_path.unlink()


def test_log_that_cannot_be_written_does_not_stop_predictions_and_is_counted(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("no directory")
    log = LogSettings(
        database=str(tmp_path / "file" / "log.db"), partitions=tmp_path / "days", batch_ms=10, queue_rows=50
    )
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, log=log)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        assert {client.post("/predict", json=example).status_code for _ in range(80)} == {200}
        labels = client.post("/labels", json=[{"prediction_id": "x", "label": True}])
        assert (labels.status_code, labels.headers["retry-after"]) == (503, "1")
        assert client.get("/review").status_code == 503
        assert metric(client, 'skline_log_rows_total{outcome="dropped"}') > 0
        assert metric(client, 'skline_store_failures_total{store="log"}') >= 1
        (tmp_path / "file").unlink()
        for _ in range(400):
            if (tmp_path / "file" / "log.db").exists() and client.get("/review").status_code == 200:
                break
            time.sleep(0.05)
        assert client.get("/review").json() == []


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_log_has_the_keyed_hash_of_the_entity_that_a_header_names(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any], mode: Literal["async", "sync"]
) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days", mode=mode)
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, log=log)
    entity = {"X-Entity-ID": "customer 7"}
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        client.post("/predict", json=example, headers=entity)
        client.post("/predict/batch", json=[example, example], headers=entity)
        client.post("/invocations", json={"dataframe_records": [example]}, headers=entity)
        client.post("/predict", json=example)
        client.post("/predict", json=example, headers={"X-Entity-ID": ""})
        entities = logged_rows(tmp_path, 6)["entity"].to_pylist()
    assert entities == [EntityHasher(log)("customer 7")] * 4 + [None] * 2
