"""Failures that coincide: shutdown while the log is blocked, two services on one log, artifact files that disappear."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.clock import now_us
from skline.ids import new_prediction_id, new_prediction_ids
from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from skline.serving.prediction.review import Reason, ReviewSampler
from skline.serving.settings import ReviewSettings
from tests.behaviour.test_outages import locked, log_rows
from tests.fixtures import demo
from tests.fixtures.clients import ContinuousRequests, terminate, wait_until
from tests.fixtures.server import process
from tests.fixtures.service import metric_by_label


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs" / "log.db"), partitions=tmp_path / "days")


def settings_of(log: LogSettings) -> dict[str, str]:
    return {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "20"}


def logged_ids(log: LogSettings) -> list[str]:
    """Return the prediction ids in the log; fail if one is logged twice."""
    ids: list[str] = read_predictions(log)["prediction_id"].to_pylist()
    assert len(ids) == len(set(ids))
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("released", [True, False], ids=["in time", "never"])
def test_shutdown_with_a_full_queue_writes_what_it_can_and_reports_the_loss(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, released: bool
) -> None:
    settings = settings_of(log) | {"LOG__QUEUE_ROWS": "100", "LOG__DRAIN_SECONDS": "6"}
    with process(packaged, **settings) as (running, client):
        first = client.post("/predict", json=example).json()["prediction_id"]
        wait_until(lambda: log_rows(client, "written") == 1)
        with locked(log.database):
            with ContinuousRequests(client.base_url, example) as requests:
                wait_until(lambda: log_rows(client, "dropped") > 50)
            dropped = log_rows(client, "dropped")
            running.send_signal(signal.SIGTERM)
            if released:
                time.sleep(1)
            else:
                assert running.wait(30) == -signal.SIGTERM
        assert running.wait(30) == -signal.SIGTERM
        assert running.stderr is not None
        stderr = running.stderr.read()
    logged = logged_ids(log)
    assert set(logged) <= {first, *requests.ids}
    assert len(logged) == (1 + len(requests.ids) - dropped if released else 1)
    assert "rows dropped so far" in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_two_services_can_write_to_the_same_log(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings
) -> None:
    with (
        process(packaged, **settings_of(log)) as (first, first_client),
        process(packaged, **settings_of(log)) as (second, second_client),
    ):
        with (
            ContinuousRequests(first_client.base_url, example) as requests,
            ContinuousRequests(second_client.base_url, example) as others,
        ):
            wait_until(lambda: len(requests.ids) > 300 and len(others.ids) > 300)
        for running in (first, second):
            terminate(running)
    assert sorted(logged_ids(log)) == sorted(requests.ids + others.ids)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_service_does_not_need_the_artifact_files_after_loading(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, tmp_path: Path, how: str
) -> None:
    copy = demo.Packaged(Path(shutil.copytree(packaged.folder, tmp_path / "artifact")), packaged.digest)
    with process(copy, **settings_of(log), REVIEW__SAMPLE="1") as (running, client):

        def summarize_responses() -> list[Any]:
            responses: list[httpx.Response] = [
                client.post("/predict", json=example),
                client.post("/predict?explain=true", json=example),
                client.post("/predict/batch", json=[example] * 50),
                client.post("/invocations", json={"dataframe_records": [example]}),
                *(client.get(path) for path in ("/", "/info", "/v2/models/demo", "/health/ready", "/review")),
            ]
            assert {response.status_code for response in responses} == {200}, [r.text[:300] for r in responses]
            contributions = responses[1].json()["explanation"]
            return [responses[0].json()["probabilities"], contributions, responses[4].text]

        for file in copy.folder.iterdir():
            if how == "deleted":
                file.unlink()
            else:
                file.write_bytes(b"")
        first = summarize_responses()
        assert summarize_responses() == first
        assert metric_by_label(client, "skline_log_rows_total")["rejected"] == 0
        terminate(running)


def test_clock_that_jumps_back_neither_repeats_ids_nor_renews_the_review_capacity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    midnight = 20_000 * 86_400 * 10**9
    moments = [midnight + 10**9, midnight - 10**9] * 50
    review, ids, reviewed = ReviewSampler(ReviewSettings(low=0, high=1, per_day=3)), set(), 0
    for moment in moments:
        monkeypatch.setattr("time.time_ns", lambda moment=moment: moment)
        ids |= {new_prediction_id(), *new_prediction_ids(3)}
        reviewed += review.decide(0.5, now_us()) == Reason.BAND
    assert len(ids) == 4 * len(moments)
    assert reviewed == 3
    monkeypatch.setattr("time.time_ns", lambda: midnight + 86_401 * 10**9)
    assert review.decide(0.5, now_us()) == Reason.BAND
