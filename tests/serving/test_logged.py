"""What is answered is written down, and labels find it."""

import datetime as dt
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.settings import ServiceSettings
from skline.logs.read import read_labelled, values
from skline.logs.settings import LogSettings
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.serving.test_review import service
from tests.serving.test_scorers import metric


def rows_of(folder: Path, count: int) -> Any:
    """The log with its labels, once it has so many rows."""
    settings = LogSettings(database=str(folder / "log.db"), partitions=folder / "days")
    for _ in range(200):
        table = read_labelled(settings)
        if table.num_rows == count:
            return table
        time.sleep(0.02)
    raise AssertionError(f"{table.num_rows} rows, not {count}")


def test_every_answer_is_a_row_with_what_it_was_made_of(
    packaged: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    with service(packaged, tmp_path) as client:
        one = client.post("/predict", json=example, headers={"X-Request-ID": "mine"}).json()
        batch = client.post("/predict/batch", json=[example, example | {"distance": None}]).json()["predictions"]
        foreign = client.post("/invocations", json={"dataframe_records": [example]}).json()
        client.post("/predict", json=example | {"distance": -1})
        table = rows_of(tmp_path, 4)
        ids = [answer["prediction_id"] for answer in (one, *batch)] + foreign["prediction_ids"]
        assert table["prediction_id"].to_pylist() == ids
        assert table["request_id"].to_pylist()[0] == "mine"
        assert set(table["artifact_digest"].to_pylist()) == {packaged.digest}
        assert set(table["path"].to_pylist()) == {"plan"}
        assert values(table["inputs"])[2]["distance"] is None
        assert values(table["probabilities"])[0] == one["probabilities"]
        assert all(0 < latency < 10_000_000 for latency in table["latency_us"].to_pylist()[:3])
        labels = [{"prediction_id": one["prediction_id"], "label": True}]
        assert client.post("/labels", json=labels).json() == {"new": 1, "known": 0, "refused": []}
        assert client.post("/labels", json=labels).json() == {"new": 0, "known": 1, "refused": []}
        bad = client.post("/labels", json=[*labels, {"prediction_id": "x", "label": 7}]).json()
        assert (bad["known"], bad["refused"][0]["index"]) == (1, 1)
        assert values(rows_of(tmp_path, 4)["label"]) == [True, None, None, None]


def test_in_sync_mode_the_row_is_there_before_the_answer(
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
        refused = client.post("/predict", json=example)
        assert (refused.status_code, refused.json()["detail"][0]["type"]) == (503, "not_written")
        tmp_path.unlink()


def test_a_log_that_cannot_be_written_keeps_nobody_from_an_answer_and_is_measured(
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


@pytest.mark.parametrize("content", [[{"label": True}], [{"prediction_id": "x"}], {"label": 1}, [1], "x"])
def test_labels_of_no_use_are_a_422_or_refused_with_the_reason(client: httpx.Client, content: Any) -> None:
    response = client.post("/labels", json=content)
    if response.status_code == 200:
        [refused] = response.json()["refused"]
        assert "prediction_id" in refused["reason"]
    else:
        assert response.status_code == 422


def test_an_entity_and_its_time_name_a_prediction(
    packaged: demo.Packaged, tmp_path: Path, client: httpx.Client
) -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat()
    given = [{"entity": "N12345", "event_time": moment, "label": True}]
    assert client.post("/labels", json=given).json()["new"] == 1
