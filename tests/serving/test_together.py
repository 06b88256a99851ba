"""What is read in the same turn of the event loop is answered together; each answer is what its row gets alone."""

import asyncio
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.asked import Asked
from serving.responses import Json
from serving.service import Service
from serving.settings import ServiceSettings
from skline.scoring.answers import RowRefused
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.serving.test_http import BODY, ROW, asking, connected, read_answer
from tests.serving.test_scorers import metric

SCOPE = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
ROWS = [ROW | {"distance": 17 + 31 * number, "sched_dep_time": 5 + 100 * (number % 24)} for number in range(40)]


class Running:
    """A service, and its event loop in another thread."""

    def __init__(self, service: Service, client: httpx.Client) -> None:
        self.service, self.client = service, client

    def ask_together(self, *bodies: bytes, **headers: str) -> list[tuple[int, dict[str, str], Any]]:
        """Have bodies arrive in one turn of the loop; return status, headers and JSON of each answer."""
        loop: asyncio.AbstractEventLoop = self.service.app.state.test_loop
        answers: list[Json | None] = [None] * len(bodies)
        done = threading.Event()

        def take(index: int) -> Callable[[Json], None]:
            def taken(answer: Json) -> None:
                assert answers[index] is None, "a request has one answer"
                answers[index] = answer
                if None not in answers:
                    done.set()

            return taken

        def arrive() -> None:
            for index, body in enumerate(bodies):
                sent = [(name.encode(), value.encode()) for name, value in headers.items()]
                sent.append((b"x-request-id", b"request-%d" % index))
                self.service.answer_soon(Asked(SCOPE | {"headers": sent}, body, take(index)))

        loop.call_soon_threadsafe(arrive)
        assert done.wait(20), f"unanswered: {[index for index, answer in enumerate(answers) if answer is None]}"
        return [read(answer) for answer in answers if answer is not None]


def read(answer: Json) -> tuple[int, dict[str, str], Any]:
    headers = {name.decode(): value.decode() for name, value in answer.raw_headers}
    return answer.status_code, headers, json.loads(answer.body)


@contextmanager
def service_of(packaged: demo.Packaged, **settings: Any) -> Iterator[Running]:
    given = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, **settings)
    service = create_app(given)

    async def tell_loop() -> dict[str, bool]:
        service.app.state.test_loop = asyncio.get_running_loop()
        return {"told": True}

    service.app.add_api_route("/health/loop", tell_loop)
    with running(service) as client:
        wait_until_loaded(client)
        assert client.get("/health/loop").json() == {"told": True}
        yield Running(service, client)


@pytest.fixture(scope="module")
def running_service(packaged: demo.Packaged) -> Iterator[Running]:
    with service_of(packaged) as found:
        yield found


def bodies(rows: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 9, 40])
def test_together_every_row_gets_the_answer_that_it_gets_alone(running_service: Running, count: int) -> None:
    together = running_service.ask_together(*bodies(ROWS[:count]))
    alone = [running_service.client.post("/predict", json=row).json() for row in ROWS[:count]]
    own = "prediction_id"
    assert [status for status, _, _ in together] == [200] * count
    assert [answer | {own: ""} for _, _, answer in together] == [answer | {own: ""} for answer in alone]
    assert len({answer[own] for _, _, answer in together}) == count
    assert [headers["x-request-id"] for _, headers, _ in together] == [f"request-{index}" for index in range(count)]


def test_more_than_are_answered_at_once_are_all_answered(running_service: Running) -> None:
    answers = running_service.ask_together(*bodies(ROWS * 8))
    predictions = [answer["probabilities"]["true"] for _, _, answer in answers]
    assert predictions == predictions[:40] * 8


def test_they_are_counted_as_what_they_are(packaged: demo.Packaged) -> None:
    with service_of(packaged) as service:
        answers = service.ask_together(*bodies(ROWS))
        late = sum(answer["prediction"] for _, _, answer in answers)
        assert metric(service.client, 'skline_batch_rows_count{source="turn"}') == 1
        assert metric(service.client, 'skline_batch_rows_sum{source="turn"}') == 40
        assert metric(service.client, "skline_score_count") == 40
        assert metric(service.client, 'skline_predictions_total{prediction="true"}') == late
        assert metric(service.client, 'skline_request_seconds_count{path="plan",route="/predict",status="200"}') == 40


def test_whoever_sends_nonsense_is_told_and_nobody_else(running_service: Running) -> None:
    good = bodies(ROWS[:9])
    bad = [b"{", b"", b"[]", json.dumps(ROW | {"distance": -1}).encode(), json.dumps({"carrier": "UA"}).encode()]
    mixed = [body for pair in zip(good, [*bad, *good[5:]], strict=True) for body in pair]
    answers = running_service.ask_together(*mixed)
    assert [status for status, _, _ in answers] == [200, 422] * 5 + [200, 200] * 4
    assert answers[7][2]["detail"][0]["loc"] == ["body", "distance"]
    assert all("prediction" in answer for status, _, answer in answers if status == 200)
    assert {status for status, _, _ in running_service.ask_together(*good, **{"content-encoding": "gzip"})} == {415}


def test_a_row_that_the_model_refuses_fails_alone(running_service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = running_service.service.app.state.models.current.scorer.plan
    score_row, score_rows = plan.score_row, type(plan).score_rows

    def refuse(row: Any) -> Any:
        if row["distance"] == 17:
            raise RowRefused("17 miles are no flight")
        return score_row(row)

    def refuse_all(self: Any, rows: Any) -> Any:
        for row in rows:
            refuse(row)
        return score_rows(self, rows)

    monkeypatch.setattr(plan, "score_row", refuse)
    monkeypatch.setattr(type(plan), "score_rows", refuse_all)
    answers = running_service.ask_together(*bodies(ROWS[:12]))
    assert [status for status, _, _ in answers] == [422] + [200] * 11
    assert answers[0][2]["detail"][0]["type"] == "not_scorable"
    assert metric(running_service.client, "skline_ready") == 1


def test_a_row_without_a_finite_answer_is_refused_alone(
    running_service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = running_service.service.app.state.models.current.scorer.plan
    score_row, score_rows = plan.score_row, type(plan).score_rows

    def spoiled(row: Any) -> Any:
        prediction, chances = score_row(row)
        return prediction, (float("nan"), 0.5) if row["distance"] == 48 else chances

    def spoiled_rows(self: Any, rows: Any) -> Any:
        scores = score_rows(self, rows)
        scores.probabilities[[row["distance"] == 48 for row in rows], 0] = float("nan")
        return scores

    monkeypatch.setattr(plan, "score_row", spoiled)
    monkeypatch.setattr(type(plan), "score_rows", spoiled_rows)
    answers = running_service.ask_together(*bodies(ROWS[:12]))
    assert [status for status, _, _ in answers] == [200, 422] + [200] * 10
    assert answers[1][2]["detail"][0]["type"] == "not_finite"


def test_a_model_that_fails_is_asked_again_where_others_answer(packaged: demo.Packaged) -> None:
    fixed = {"prediction": False, "probabilities": {"false": 0.8, "true": 0.2}}

    def broken(*_: Any) -> Any:
        raise RuntimeError("gone")

    with service_of(packaged, fallback={"chain": ("fixed",), "answer": fixed}) as service:
        scorer = service.service.app.state.models.current.scorer
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scorer.plan, "score_row", broken)
            patch.setattr(type(scorer.plan), "score_rows", broken)
            answers = service.ask_together(*bodies(ROWS[:6]))
        assert [(status, answer["fallback"]) for status, _, answer in answers] == [(200, "fixed")] * 6
        assert metric(service.client, 'skline_fallbacks_total{link="fixed"}') == 6


def test_a_fault_of_the_service_is_told_to_everybody_who_was_not_answered(
    running_service: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers_many = running_service.service.app.state.models.current.answers
    monkeypatch.setattr(answers_many, "many", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "skline.serving"):
        answers = running_service.ask_together(b"{", *bodies(ROWS[:5]))
    assert [status for status, _, _ in answers] == [422] + [500] * 5
    assert len([line for line in caplog.records if "POST /predict failed" in line.getMessage()]) == 5


def test_the_rate_is_counted_for_each(packaged: demo.Packaged) -> None:
    with service_of(packaged, limits={"rate": "6/minute"}) as service:  # one of them has been for the loop
        answers = service.ask_together(*bodies(ROWS[:8]))
        assert [status for status, _, _ in answers] == [200] * 5 + [429] * 3


@pytest.mark.parametrize("count", [3, 20])
def test_each_is_written_down_with_its_own_request(packaged: demo.Packaged, tmp_path: Path, count: int) -> None:
    database = tmp_path / "predictions.db"
    with service_of(packaged, log={"database": str(database), "partitions": tmp_path / "parts"}) as service:
        answers = service.ask_together(*bodies(ROWS[:count]))
    with sqlite3.connect(database) as log:
        found = {one: (request, json.loads(inputs)) for one, request, inputs in log.execute(
            "SELECT prediction_id, request_id, inputs FROM predictions")}  # fmt: skip
    for index, (_, _, answer) in enumerate(answers):
        request, inputs = found.pop(answer["prediction_id"])
        assert (request, inputs["distance"]) == (f"request-{index}", ROWS[index]["distance"])
    assert not found


def test_each_has_a_line_of_its_own_in_the_log(packaged: demo.Packaged, caplog: pytest.LogCaptureFixture) -> None:
    with service_of(packaged, logging={"requests": "all"}) as service, caplog.at_level(logging.INFO, "skline.requests"):
        caplog.clear()
        service.ask_together(*bodies(ROWS[:6]), b"{")
    told = [line.fields for line in caplog.records if line.name == "skline.requests"]  # type: ignore[attr-defined]
    # Who sent nonsense hears of it first.
    assert sorted((line["request_id"], line["status"]) for line in told if line["route"] == "/predict") == [
        *((f"request-{index}", 200) for index in range(6)),
        ("request-6", 422),
    ]


@contextmanager
def held(service: Running) -> Iterator[threading.Event]:
    """Let requests wait until the event is set, as they do for a log in sync mode."""
    predictor, release = service.service.app.state.predictor, threading.Event()
    answer_read = predictor.answer_read

    async def held_back(*arguments: Any, **named: Any) -> Any:
        await asyncio.to_thread(release.wait, 20)
        return await answer_read(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "waits_for_log", True)
        patch.setattr(predictor, "answer_read", held_back)
        yield release
        release.set()


def test_what_waits_holds_up_nobody_else(running_service: Running) -> None:
    client = running_service.client
    with held(running_service) as release, connected(client) as waiting:
        waiting.sendall(asking())
        assert client.get("/health/live").status_code == 200
        release.set()
        assert read_answer(waiting.makefile("rb"))[0] == 200


def test_requests_behind_one_that_waits_are_answered_after_it(running_service: Running) -> None:
    with held(running_service) as release, connected(running_service.client) as waiting:
        waiting.sendall(asking(BODY, "x-request-id: one") + asking(BODY, "x-request-id: two"))
        running_service.client.get("/health/live")
        release.set()
        stream = waiting.makefile("rb")
        assert [read_answer(stream)[1]["x-request-id"] for _ in range(2)] == ["one", "two"]


def test_a_client_that_does_not_wait_does_no_harm(running_service: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), held(running_service) as release:
        with connected(running_service.client) as waiting:
            waiting.sendall(asking())
            running_service.client.get("/health/live")
        running_service.client.get("/health/live")
        release.set()
    assert running_service.client.post("/predict", json=ROW).status_code == 200
    assert not caplog.records
