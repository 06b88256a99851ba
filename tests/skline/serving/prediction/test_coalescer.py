"""Requests that arrive in the same iteration of the event loop are handled together, each as if it were alone."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline.logs.entity import EntityHasher
from skline.logs.settings import LogSettings
from skline.scoring.scores import RowRejected
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from skline.serving.transport.dispatch import Dispatcher
from skline.serving.transport.request import BufferedRequest
from skline.serving.transport.responses import JSONBytesResponse
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.service import logged_rows, metric
from tests.skline.serving.transport.test_protocol import BODY, ROW, connected, post_request, read_response

SCOPE = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
ROWS = [ROW | {"distance": 17 + 31 * number, "sched_dep_time": 5 + 100 * (number % 24)} for number in range(40)]


class RunningService:
    """A running service whose event loop is in another thread."""

    def __init__(self, service: Dispatcher, client: httpx.Client) -> None:
        self.service, self.client = service, client

    def send_together(self, *bodies: bytes, **headers: str) -> list[tuple[int, dict[str, str], Any]]:
        """Let requests arrive in one iteration of the loop; return status, headers and JSON of each response."""
        loop: asyncio.AbstractEventLoop = self.service.app.state.test_loop
        responses: list[JSONBytesResponse | None] = [None] * len(bodies)
        done = threading.Event()

        def sender(index: int) -> Callable[[JSONBytesResponse], None]:
            def send(response: JSONBytesResponse) -> None:
                assert responses[index] is None, "a request has one response"
                responses[index] = response
                if None not in responses:
                    done.set()

            return send

        def arrive() -> None:
            for index, body in enumerate(bodies):
                raw_headers = [
                    (b"host", b"localhost"),
                    *((name.encode(), value.encode()) for name, value in headers.items()),
                ]
                raw_headers.append((b"x-request-id", b"request-%d" % index))
                self.service.submit(BufferedRequest(SCOPE | {"headers": raw_headers}, body, sender(index)))

        loop.call_soon_threadsafe(arrive)
        assert done.wait(20), (
            f"no response to {[index for index, response in enumerate(responses) if response is None]}"
        )
        return [decode(response) for response in responses if response is not None]


def decode(response: JSONBytesResponse) -> tuple[int, dict[str, str], Any]:
    headers = {name.decode(): value.decode() for name, value in response.raw_headers}
    return response.status_code, headers, json.loads(response.body)


@contextmanager
def service_of(packaged: demo.Packaged, **settings: Any) -> Iterator[RunningService]:
    service_settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, **settings)
    service = create_app(service_settings)

    async def capture_loop() -> dict[str, bool]:
        service.app.state.test_loop = asyncio.get_running_loop()
        return {"captured": True}

    service.app.add_api_route("/health/loop", capture_loop)
    with running(service) as client:
        wait_until_loaded(client)
        assert client.get("/health/loop").json() == {"captured": True}
        yield RunningService(service, client)


@pytest.fixture(scope="module")
def running_service(packaged: demo.Packaged) -> Iterator[RunningService]:
    with service_of(packaged) as service:
        yield service


def bodies(rows: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 9, 40])
def test_coalesced_requests_get_the_same_predictions_as_single_ones(
    running_service: RunningService, count: int
) -> None:
    coalesced = running_service.send_together(*bodies(ROWS[:count]))
    single = [running_service.client.post("/predict", json=row).json() for row in ROWS[:count]]
    without_id = {"prediction_id": ""}
    assert [status for status, _, _ in coalesced] == [200] * count
    assert [response | without_id for _, _, response in coalesced] == [response | without_id for response in single]
    assert len({response["prediction_id"] for _, _, response in coalesced}) == count
    assert [headers["x-request-id"] for _, headers, _ in coalesced] == [f"request-{index}" for index in range(count)]


def test_more_requests_than_one_batch_may_have_all_get_responses(running_service: RunningService) -> None:
    responses = running_service.send_together(*bodies(ROWS * 8))
    predictions = [response["probabilities"]["true"] for _, _, response in responses]
    assert predictions == predictions[:40] * 8


def test_metrics_count_every_coalesced_request(packaged: demo.Packaged) -> None:
    with service_of(packaged) as service:
        responses = service.send_together(*bodies(ROWS))
        late = sum(response["prediction"] for _, _, response in responses)
        assert metric(service.client, 'skline_batch_rows_count{source="coalesced"}') == 1
        assert metric(service.client, 'skline_batch_rows_sum{source="coalesced"}') == 40
        assert metric(service.client, "skline_score_count") == 40
        assert metric(service.client, 'skline_predictions_total{class="true"}') == late
        assert (
            metric(
                service.client,
                'skline_request_duration_seconds_count{route="/predict",scoring_path="plan",status="200"}',
            )
            == 40
        )


def test_only_invalid_requests_get_an_error(running_service: RunningService) -> None:
    good = bodies(ROWS[:9])
    bad = [b"{", b"", b"[]", json.dumps(ROW | {"distance": -1}).encode(), json.dumps({"carrier": "UA"}).encode()]
    mixed = [body for pair in zip(good, [*bad, *good[5:]], strict=True) for body in pair]
    responses = running_service.send_together(*mixed)
    assert [status for status, _, _ in responses] == [200, 422] * 5 + [200, 200] * 4
    assert responses[7][2]["detail"][0]["loc"] == ["body", "distance"]
    assert all("prediction" in response for status, _, response in responses if status == 200)
    assert {status for status, _, _ in running_service.send_together(*good, **{"content-encoding": "gzip"})} == {415}


def test_row_that_the_model_rejects_fails_alone(
    running_service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = running_service.service.app.state.container.models.current.model.scorer.plan
    score_row, score_rows = plan.score_row, type(plan).score_rows

    def reject(row: Any) -> Any:
        if row["distance"] == 17:
            raise RowRejected("the distance 17 is out of range")
        return score_row(row)

    def reject_in_batch(self: Any, rows: Any) -> Any:
        for row in rows:
            reject(row)
        return score_rows(self, rows)

    monkeypatch.setattr(plan, "score_row", reject)
    monkeypatch.setattr(type(plan), "score_rows", reject_in_batch)
    responses = running_service.send_together(*bodies(ROWS[:12]))
    assert [status for status, _, _ in responses] == [422] + [200] * 11
    assert responses[0][2]["detail"][0]["type"] == "not_scorable"
    assert metric(running_service.client, "skline_ready") == 1


def test_row_without_finite_prediction_fails_alone(
    running_service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = running_service.service.app.state.container.models.current.model.scorer.plan
    score_row, score_rows = plan.score_row, type(plan).score_rows

    def not_finite(row: Any) -> Any:
        prediction, probabilities = score_row(row)
        return prediction, (float("nan"), 0.5) if row["distance"] == 48 else probabilities

    def not_finite_in_batch(self: Any, rows: Any) -> Any:
        scores = score_rows(self, rows)
        scores.probabilities[[row["distance"] == 48 for row in rows], 0] = float("nan")
        return scores

    monkeypatch.setattr(plan, "score_row", not_finite)
    monkeypatch.setattr(type(plan), "score_rows", not_finite_in_batch)
    responses = running_service.send_together(*bodies(ROWS[:12]))
    assert [status for status, _, _ in responses] == [200, 422] + [200] * 10
    assert responses[1][2]["detail"][0]["type"] == "not_finite"


def test_fallbacks_predict_if_the_model_fails(packaged: demo.Packaged) -> None:
    fixed = {"prediction": False, "probabilities": {"false": 0.8, "true": 0.2}}

    def fail(*_: Any) -> Any:
        raise RuntimeError("gone")

    with service_of(packaged, fallback={"chain": ("fixed",), "answer": fixed}) as service:
        scorer = service.service.app.state.container.models.current.model.scorer
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scorer.plan, "score_row", fail)
            patch.setattr(type(scorer.plan), "score_rows", fail)
            responses = service.send_together(*bodies(ROWS[:6]))
        assert [(status, response["fallback"]) for status, _, response in responses] == [(200, "fixed")] * 6
        assert metric(service.client, 'skline_fallback_rows_total{fallback="fixed"}') == 6


def test_unexpected_error_is_a_500_for_every_request_without_response(
    running_service: RunningService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    builder = running_service.service.app.state.container.models.current.model.response_builder
    monkeypatch.setattr(builder, "rows", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "skline.serving"):
        responses = running_service.send_together(b"{", *bodies(ROWS[:5]))
    assert [status for status, _, _ in responses] == [422] + [500] * 5
    assert len([line for line in caplog.records if "POST /predict failed" in line.getMessage()]) == 5


def test_rate_limit_counts_each_request(packaged: demo.Packaged) -> None:
    with service_of(packaged, limits={"rate": "6/minute"}) as service:  # one request is the one that captures the loop
        responses = service.send_together(*bodies(ROWS[:8]))
        assert [status for status, _, _ in responses] == [200] * 5 + [429] * 3


@pytest.mark.parametrize("count", [3, 20])
def test_each_prediction_is_logged_with_its_own_request_id(packaged: demo.Packaged, tmp_path: Path, count: int) -> None:
    database = tmp_path / "predictions.db"
    with service_of(packaged, log={"database": str(database), "partitions": tmp_path / "parts"}) as service:
        responses = service.send_together(*bodies(ROWS[:count]))
    with closing(sqlite3.connect(database)) as log:
        logged = {id_: (request, json.loads(inputs)) for id_, request, inputs in log.execute(
            "SELECT prediction_id, request_id, inputs FROM predictions")}  # fmt: skip
    for index, (_, _, response) in enumerate(responses):
        request, inputs = logged.pop(response["prediction_id"])
        assert (request, inputs["distance"]) == (f"request-{index}", ROWS[index]["distance"])
    assert not logged


def test_each_request_has_its_own_access_log_line(packaged: demo.Packaged, caplog: pytest.LogCaptureFixture) -> None:
    with service_of(packaged, logging={"requests": "all"}) as service, caplog.at_level(logging.INFO, "skline.requests"):
        caplog.clear()
        service.send_together(*bodies(ROWS[:6]), b"{")
    lines = [line.fields for line in caplog.records if line.name == "skline.requests"]  # type: ignore[attr-defined]
    assert sorted((line["request_id"], line["status"]) for line in lines if line["route"] == "/predict") == [
        *((f"request-{index}", 200) for index in range(6)),
        ("request-6", 422),
    ]


@pytest.fixture(scope="module")
def sync_service(packaged: demo.Packaged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose responses wait for the prediction log."""
    folder = tmp_path_factory.mktemp("log")
    log = {"mode": "sync", "sync_ms": 20_000, "database": str(folder / "log.db"), "partitions": folder / "days"}
    with service_of(packaged, log=log) as service:
        yield service


@contextmanager
def blocked_log(service: RunningService) -> Iterator[threading.Event]:
    """Let the prediction log wait, and with it the responses, until the event is set."""
    prediction_log, unblock = service.service.app.state.container.prediction_log, threading.Event()
    append = prediction_log.append

    async def append_when_unblocked(records: Any) -> None:
        await asyncio.to_thread(unblock.wait, 20)
        await append(records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_log, "append", append_when_unblocked)
        yield unblock
        unblock.set()


def test_waiting_request_does_not_delay_others(sync_service: RunningService) -> None:
    client = sync_service.client
    with blocked_log(sync_service) as unblock, connected(client) as waiting:
        waiting.sendall(post_request())
        assert client.get("/health/live").status_code == 200
        unblock.set()
        assert read_response(waiting.makefile("rb"))[0] == 200


def test_pipelined_requests_get_responses_in_their_order(sync_service: RunningService) -> None:
    with blocked_log(sync_service) as unblock, connected(sync_service.client) as waiting:
        waiting.sendall(post_request(BODY, "x-request-id: one") + post_request(BODY, "x-request-id: two"))
        sync_service.client.get("/health/live")
        unblock.set()
        stream = waiting.makefile("rb")
        assert [read_response(stream)[1]["x-request-id"] for _ in range(2)] == ["one", "two"]


def test_client_that_disconnects_while_waiting_does_no_harm(
    sync_service: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), blocked_log(sync_service) as unblock:
        with connected(sync_service.client) as waiting:
            waiting.sendall(post_request())
            sync_service.client.get("/health/live")
        sync_service.client.get("/health/live")
        unblock.set()
    assert sync_service.client.post("/predict", json=ROW).status_code == 200
    assert not caplog.records


def test_request_before_the_model_is_loaded_gets_the_same_503_on_every_way(packaged: demo.Packaged) -> None:
    with service_of(packaged) as service:
        service.service.app.state.container.models.current = None
        [(status, _, response)] = service.send_together(json.dumps(ROWS[0]).encode())
        batch = service.client.post("/predict/batch", json=ROWS[:1])
    assert (status, batch.status_code) == (503, 503)
    assert response["detail"] == batch.json()["detail"]
    assert response["detail"][0]["msg"] == "the model is not loaded; see /health/ready"


def test_each_coalesced_request_is_logged_with_its_own_entity(packaged: demo.Packaged, tmp_path: Path) -> None:
    log = LogSettings(database=str(tmp_path / "log.db"), partitions=tmp_path / "days")
    with service_of(packaged, log=log) as service:
        for entity in ("a", "b"):
            service.send_together(*bodies(ROWS[:12]), **{"x-entity-id": entity})
        service.send_together(*bodies(ROWS[:12]))
        logged = logged_rows(tmp_path, 36)["entity"].to_pylist()
    hashed = EntityHasher(log)
    assert Counter(logged) == {hashed("a"): 12, hashed("b"): 12, None: 12}
