"""Requests that are odd but legal, or nearly so: each has one answer, at once, and the connection goes on or ends."""

import socket
from typing import Any

import httpx
import pytest

from tests.serving.loopback import served
from tests.serving.test_http import BODY, LIVE, asking, read_answer, talk


def paths(client: httpx.Client) -> list[str]:
    """Every route that has a GET, its parameters filled in."""
    found = client.get("/openapi.json").json()["paths"]
    ways = [path for path, methods in found.items() if "get" in methods]
    return ["/", "/docs", "/openapi.json", "/page/page.js", *(path.replace("{name}", "demo") for path in ways)]


def test_head_is_answered_at_once_on_every_route_and_the_connection_goes_on(client: httpx.Client) -> None:
    routes = paths(client)
    assert len(routes) > 12
    for path in routes:
        head = f"HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=3) as connection:
            stream = connection.makefile("rb")
            for _ in range(2):
                connection.sendall(head)
                status = int(stream.readline().split()[1])
                assert status in (200, 405), path
                while stream.readline() != b"\r\n":
                    pass
            connection.sendall(LIVE)
            assert read_answer(stream)[0] == 200, path


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/metrics", "/nothing"])
def test_no_method_is_a_fault_of_the_server(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path, timeout=5).status_code in (200, 404, 405)


def test_many_requests_in_one_piece_are_answered_in_their_order(client: httpx.Client) -> None:
    batch = asking(b"[%b]" % BODY, "x-request-id: batch", path="/predict/batch")
    one = asking(BODY, "x-request-id: one")
    explained = asking(BODY, "x-request-id: explained", path="/predict?explain=true")
    names = [answer[1]["x-request-id"] for answer in talk(client, (batch + one + explained) * 20, answers=60)]
    assert names == ["batch", "one", "explained"] * 20


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"content-length: -1", 400), (b"content-length: +5", 400), (b"content-length: 0x10", 400),
        (b"content-length: 5, 5", 400), (b"content-length: 5\r\ncontent-length: 6", 400),
        (b"content-length: 99999999999999999999999999", 400), (b"content-length: 17179869184", 413),
        (b"content-length: 5\r\ntransfer-encoding: chunked", 400), (b"transfer-encoding: gzip, identity", 400),
        (b"content-length: 0", 422), (b"", 422),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_length_that_is_none_is_a_4xx(client: httpx.Client, path: str, length: bytes, status: int) -> None:
    ask = b"POST %b HTTP/1.1\r\nhost: a\r\n%b\r\n" % (path.encode(), length and length + b"\r\n")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        connection.sendall(ask)
        if status == 413:
            connection.sendall(b" ")
        assert int(connection.recv(65536).split()[1]) == status


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/labels"])
@pytest.mark.parametrize("expected", ["100-continue", "100-CONTINUE"])
def test_who_waits_for_100_continue_gets_it_and_then_the_answer(client: httpx.Client, path: str, expected: str) -> None:
    body = BODY if path == "/predict" else b"[%b]" % BODY
    head, _, _ = asking(body, f"expect: {expected}", path=path).partition(b"\r\n\r\n")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        stream = connection.makefile("rb")
        connection.sendall(head + b"\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        connection.sendall(body)
        assert read_answer(stream)[0] == (422 if path == "/labels" else 200)
        connection.sendall(LIVE)
        assert read_answer(stream)[0] == 200


@pytest.mark.parametrize(
    "target",
    [
        "/v2/models/d%C3%A9mo", "/v2/models/%ff%fe", "/v2/models/%00", "/v2/models/..%2f..%2fetc",
        "/v2/models/%F0%9F%98%80",
        "/%E2%80%AE", "/predict%0d%0aset-cookie:a", "/predict/%2e%2e/metrics", "//predict", "/predict?explain=%ff", "*",
        "/predict;a=b", "/" + "a" * 20_000, "http://other/predict",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_paths_are_4xx_and_stand_in_no_label_of_a_metric(client: httpx.Client, method: str, target: str) -> None:
    ask = f"{method} {target} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
    [(status, headers, _)] = talk(client, ask)
    assert 400 <= status < 500 or (status, target, method) == (200, "http://other/predict", "POST")
    assert "set-cookie" not in headers
    routes = {
        line.split('route="')[1].split('"')[0] for line in client.get("/metrics").text.splitlines() if 'route="' in line
    }
    assert routes <= {*client.get("/openapi.json").json()["paths"], "other", "/", "/docs", "/openapi.json"} | {
        route for route in routes if route.startswith(("/page", "/v2/models/{name}", "/static"))
    }


@pytest.mark.parametrize("kind", ["upgrade", "streamed", "no content", "early"])
def test_other_kinds_of_answers_come_when_they_are_written(kind: str) -> None:
    """Relatives of an answer without a body: a head must not wait for what never comes, or comes late."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"0")] if kind == "no content" else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if kind == "streamed":
            for part in (b"one", b"two"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    asks = {"upgrade": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"}
    asks["early"] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"
    with (
        served(app, timeout_keep_alive=3600) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=3) as connection,
    ):
        connection.sendall(asks.get(kind, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
        content = connection.recv(65536)
        if kind == "streamed":
            while not content.endswith(b"0\r\n\r\n"):
                content += connection.recv(65536)
        assert content.startswith(b"HTTP/1.1 ")
