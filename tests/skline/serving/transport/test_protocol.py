"""Requests that arrive complete take the fast path, all others uvicorn's; clients cannot distinguish the two."""

import itertools
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from skline.serving.transport.protocol import FastPathProtocol
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.server import served

ROW = {column.name: column.example for column in demo.contract().inputs}
BODY = json.dumps(ROW).encode()
LIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses of responses that were sent on the fast path."""
    statuses: list[int] = []
    write = FastPathProtocol._write_response

    def record(self: FastPathProtocol, response: Any, *, keep_alive: bool) -> None:
        statuses.append(response.status_code)
        write(self, response, keep_alive=keep_alive)

    monkeypatch.setattr(FastPathProtocol, "_write_response", record)
    return statuses


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """Connect to the client's server."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        yield connection


def post_request(body: bytes = BODY, *headers: str, path: str = "/predict", version: str = "1.1") -> bytes:
    """Return a POST request as bytes."""
    lines = [f"POST {path} HTTP/{version}", "host: localhost", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def exchange(client: httpx.Client, *parts: bytes, responses: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Send parts one by one on one connection; return status, headers and body of each response."""
    with connected(client) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        stream = connection.makefile("rb")
        return [read_response(stream) for _ in range(responses)]


def read_response(stream: Any) -> tuple[int, dict[str, str], bytes]:
    """Read one response; skip 100 Continue."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode().partition(": ")
        assert name not in headers, f"{name} is repeated"
        headers[name] = value.strip()
    if status == 100:
        return read_response(stream)
    return status, headers, stream.read(int(headers.get("content-length", 0)))


def without_ids(response: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """Return a response without the parts that differ between responses to equal requests."""
    status, headers, body = response
    masked = {"x-request-id": "…", "date": "…", "content-length": "…"}
    return status, headers | masked, re.sub(rb'"prediction_id":"[0-9a-f]{32}"', b"", body)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (BODY, (), 200),
        (BODY, ("traceparent: 00-11111111111111111111111111111111-2222222222222222-01",), 200),
        (BODY, ("content-encoding: gzip",), 415),
        (b"", (), 422),
        (b"{", (), 422),
        (json.dumps(ROW | {"surprise": 1}).encode(), (), 422),
        (b"[" * 8_000, (), 422),
    ],
)
def test_both_paths_send_the_same_response(
    client: httpx.Client, fast: list[int], body: bytes, headers: tuple[str, ...], status: int
) -> None:
    [response] = exchange(client, post_request(body, *headers))
    assert fast == [status]
    [other] = exchange(client, post_request(body, *headers, path="/predict?explain=false"))
    assert fast == [status], "a request with a query takes uvicorn's path"
    response[1].pop("traceresponse", None), other[1].pop("traceresponse", None)  # it names a new span
    assert without_ids(response) == without_ids(other)
    assert response[0] == status


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(post_request()) * 2), max_size=6))
def test_responses_are_in_order_wherever_the_input_is_split(client: httpx.Client, cuts: list[int]) -> None:
    other = json.dumps(ROW | {"distance": 7}).encode()
    stream = post_request(BODY, "x-request-id: one") + LIVE + post_request(other, "x-request-id: two")
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    responses = exchange(client, *(stream[a:b] for a, b in itertools.pairwise(edges)), responses=3)
    assert [status for status, _, _ in responses] == [200, 200, 200]
    assert [responses[0][1]["x-request-id"], responses[2][1]["x-request-id"]] == ["one", "two"]
    assert json.loads(responses[1][2]) == {"live": True}


def test_connection_header_decides_whether_the_connection_stays_open(client: httpx.Client, fast: list[int]) -> None:
    [kept, last] = exchange(client, post_request() + post_request(BODY, "connection: close"), responses=2)
    assert "connection" not in kept[1]
    assert last[1]["connection"] == "close"
    assert fast == [200], "the second request arrived before the first response was sent"
    with connected(client) as connection:
        connection.sendall(post_request(BODY, "connection: close") + post_request())
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    assert content.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        post_request(BODY, version="1.0"),
        post_request(BODY, "expect: 100-continue"),
        b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n" % (len(BODY), BODY),
    ],
    ids=["HTTP 1.0", "100-continue", "chunked"],
)
def test_requests_that_do_not_qualify_take_uvicorns_path(
    client: httpx.Client, fast: list[int], request_bytes: bytes
) -> None:
    end = b"0\r\n\r\n" if b"chunked" in request_bytes else b""
    [(status, _, body)] = exchange(client, request_bytes, end)
    assert (status, "prediction" in json.loads(body)) == (200, True)
    assert not fast or end, "both parts may be read at once, and then a chunked body qualifies"


def test_rejects_body_larger_than_limit(packaged: demo.Packaged, serve: Any) -> None:
    client = serve(packaged.folder, packaged.digest, max_body_bytes=200)
    [(status, headers, _)] = exchange(client, post_request(BODY + b" " * 200))
    assert (status, headers["connection"]) == (413, "close")


@pytest.fixture
def strict(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    """A service that accepts three requests per minute."""
    limits: Any = {"rate": "3/minute"}
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits=limits))
    with running(service) as client:
        wait_until_loaded(client)
        yield client


def test_each_request_is_counted_once_by_the_rate_limit(strict: httpx.Client, fast: list[int]) -> None:
    responses = [exchange(strict, post_request())[0] for _ in range(4)]
    assert [status for status, _, _ in responses] == fast == [200, 200, 200, 429]
    assert int(responses[3][1]["retry-after"]) > 0


def test_fallback_after_a_model_failure_is_not_admitted_again(
    strict: httpx.Client, fast: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "skline.serving.models.scorers.PlanScorer.submit", lambda _, row, done: done(KeyError("a column"))
    )
    responses = [exchange(strict, post_request())[0] for _ in range(4)]
    assert [status for status, _, _ in responses] == fast == [200, 200, 200, 429], "each is admitted once"


def test_head_limit_holds_per_request_and_not_per_connection(client: httpx.Client) -> None:
    large = post_request(BODY, f"x-filler: {'f' * 4000}")
    assert {status for status, _, _ in exchange(client, *[large] * 40, responses=40)} == {200}


@pytest.mark.parametrize("status", [200, 204, 304, 404])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_response_without_a_body_is_sent_as_soon_as_it_is_complete(method: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    # The keep-alive timeout would send a held head too.
    with served(app, timeout_keep_alive=3600) as client:
        assert [client.request(method, "/").status_code for _ in range(3)] == [status] * 3


def test_client_receives_the_rejection_while_it_still_sends_a_large_body(packaged: demo.Packaged, serve: Any) -> None:
    client = serve(packaged.folder, packaged.digest, max_body_bytes=100_000)
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(5):
        with connected(client) as connection:
            connection.sendall(head)
            for _ in range(300):  # 10 MB: a reset while the client sends would discard the response
                connection.sendall(chunk)
            status, headers, _ = read_response(connection.makefile("rb"))
            assert (status, headers["connection"]) == (413, "close")
            assert connection.recv(1) == b"", "the response is followed by the end"


def test_body_without_an_end_is_discarded_for_the_linger_time_only(
    packaged: demo.Packaged, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skline.serving.transport.coalescing.LINGER_SECONDS", 0.05)
    client = serve(packaged.folder, packaged.digest, max_body_bytes=100_000)
    with connected(client) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            connection.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
