"""Clients of a replay: what was answered, what failed, and when it is unknown whether the service has a request."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skline.retraining.replay.client import Client, RowRequest

#: Requests for which the server of the tests does something else than to answer.
BROKEN, REJECTED = "replay-00000013", "replay-00000021"


class Handler(BaseHTTPRequestHandler):
    """Answers with the id of the request as the id of the prediction."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request_id = self.headers["X-Request-ID"]
        if self.path == "/predict":
            assert (self.headers["X-Entity-ID"] or "").startswith("customer ")
        if request_id == BROKEN:
            self.close_connection = True
            return
        content = (
            {"prediction_id": request_id} if self.path == "/predict" else {"rejected": [], "new": len(json.loads(body))}
        )
        text = json.dumps(content).encode()
        self.send_response(422 if request_id == REJECTED else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def rows(count: int) -> list[RowRequest]:
    return [
        RowRequest(number, 1_000 * number, f"replay-{number:08}", f"customer {number % 3}", b"{}")
        for number in range(count)
    ]


def test_every_row_is_answered_and_the_clock_shows_the_newest(port: int) -> None:
    shown: list[int] = []
    client = Client(port, shown.append)
    sent = client.predict(rows(12))
    assert sent.predictions == {number: f"replay-{number:08}" for number in range(12)}
    assert (sent.requests, sent.failed, sent.lost) == (12, 0, False)
    assert shown == [1_000 * number for number in range(12)]
    assert client.label({"a": True, "b": False}).failed == 0
    client.close()


def test_a_broken_connection_is_lost_and_ends_the_step_and_a_rejected_row_does_not(port: int) -> None:
    client = Client(port, lambda _: None)
    sent = client.predict(rows(60))
    assert sent.lost
    assert sent.failed == 1 + len(sent.rejected)
    assert 13 not in sent.predictions
    assert 13 not in sent.rejected
    assert len(sent.predictions) < 59
    sent = client.predict(rows(60)[14:])
    assert (sent.lost, sent.rejected, sent.failed, len(sent.predictions)) == (False, {21}, 1, 45)
    assert sent.failure.startswith("status 422: {")
    client.close()


def test_without_a_service_all_is_lost(port: int) -> None:
    client = Client(1, lambda _: None)
    assert client.predict(rows(3)).lost
    assert client.label({"a": True}).lost
    client.close()
