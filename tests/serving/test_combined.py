"""Troubles that come together: an end while the log is stuck, two services on one log, files that go meanwhile."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.review import Reason, Review
from serving.settings import ReviewSettings
from skline.logs import records
from skline.logs.read import read_predictions
from skline.logs.settings import LogSettings
from tests import demo
from tests.serving.test_drain import process
from tests.serving.test_outages import Asking, ended, locked, log_rows
from tests.serving.test_slow_clients import scraped, until


@pytest.fixture
def log(tmp_path: Path) -> LogSettings:
    return LogSettings(database=str(tmp_path / "logs" / "log.db"), partitions=tmp_path / "days")


def settings_of(log: LogSettings) -> dict[str, str]:
    return {"LOG__DATABASE": log.database, "LOG__PARTITIONS": str(log.partitions), "LOG__BATCH_MS": "20"}


def stored(log: LogSettings) -> list[str]:
    ids: list[str] = read_predictions(log)["prediction_id"].to_pylist()
    assert len(ids) == len(set(ids))
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("released", [True, False], ids=["in time", "never"])
def test_an_end_while_the_queue_is_full_writes_what_it_can_and_says_what_is_lost(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, released: bool
) -> None:
    settings = settings_of(log) | {"LOG__QUEUE_ROWS": "100", "LOG__DRAIN_SECONDS": "6"}
    with process(packaged, **settings) as (running, client):
        first = client.post("/predict", json=example).json()["prediction_id"]
        until(lambda: log_rows(client, "written") == 1)
        with locked(log.database):
            with Asking(client.base_url, example) as asking:
                until(lambda: log_rows(client, "dropped") > 50)
            dropped = log_rows(client, "dropped")
            running.send_signal(signal.SIGTERM)
            if released:
                time.sleep(1)
            else:
                assert running.wait(30) == -signal.SIGTERM
        assert running.wait(30) == -signal.SIGTERM
        assert running.stderr is not None
        said = running.stderr.read()
    found = stored(log)
    assert set(found) <= {first, *asking.ids}
    assert len(found) == (1 + len(asking.ids) - dropped if released else 1)
    assert "rows dropped so far" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_two_services_write_into_one_log(packaged: demo.Packaged, example: dict[str, Any], log: LogSettings) -> None:
    with (
        process(packaged, **settings_of(log)) as (one, first),
        process(packaged, **settings_of(log)) as (two, second),
    ):
        with Asking(first.base_url, example) as asking, Asking(second.base_url, example) as other:
            until(lambda: len(asking.ids) > 300 and len(other.ids) > 300)
        for running in (one, two):
            ended(running)
    assert sorted(stored(log)) == sorted(asking.ids + other.ids)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_files_of_the_artifact_that_go_while_it_serves_are_not_needed(
    packaged: demo.Packaged, example: dict[str, Any], log: LogSettings, tmp_path: Path, how: str
) -> None:
    copy = demo.Packaged(Path(shutil.copytree(packaged.folder, tmp_path / "artifact")), packaged.digest)
    with process(copy, **settings_of(log), REVIEW__SAMPLE="1") as (running, client):

        def answers() -> list[Any]:
            asked: list[httpx.Response] = [
                client.post("/predict", json=example),
                client.post("/predict?explain=true", json=example),
                client.post("/predict/batch", json=[example] * 50),
                client.post("/invocations", json={"dataframe_records": [example]}),
                *(client.get(path) for path in ("/", "/info", "/v2/models/demo", "/health/ready", "/review")),
            ]
            assert {answer.status_code for answer in asked} == {200}, [answer.text[:300] for answer in asked]
            contributions = asked[1].json()["explanation"]
            return [asked[0].json()["probabilities"], contributions, asked[4].text]

        for file in copy.folder.iterdir():
            if how == "deleted":
                file.unlink()
            else:
                file.write_bytes(b"")
        before = answers()
        assert answers() == before
        assert scraped(client, "skline_log_rows_total")["refused"] == 0
        ended(running)


def test_a_clock_that_jumps_back_doubles_no_id_and_gives_no_second_days_reviews(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    midnight = 20_000 * 86_400 * 10**9
    moments = [midnight + 10**9, midnight - 10**9] * 50
    review, ids, reviewed = Review(ReviewSettings(low=0, high=1, per_day=3)), set(), 0
    for moment in moments:
        monkeypatch.setattr("time.time_ns", lambda moment=moment: moment)
        ids |= {records.new_prediction_id(), *records.new_prediction_ids(3)}
        reviewed += review.of(0.5, records.now_us()) == Reason.BAND
    assert len(ids) == 4 * len(moments)
    assert reviewed == 3
    monkeypatch.setattr("time.time_ns", lambda: midnight + 86_401 * 10**9)
    assert review.of(0.5, records.now_us()) == Reason.BAND
