"""Unusual requests, valid or nearly so: each gets one response at once, and the connection is kept or closed."""

import socket
from typing import Any

import httpx
import pytest

from tests.fixtures.server import served
from tests.skline.serving.transport.test_protocol import BODY, LIVE, exchange, post_request, read_response


def get_paths(client: httpx.Client) -> list[str]:
    """Return the paths of all routes with a GET method, with their parameters filled in."""
    operations = client.get("/openapi.json").json()["paths"]
    routes = [path for path, methods in operations.items() if "get" in methods]
    return ["/", "/docs", "/openapi.json", "/page/page.js", *(path.replace("{name}", "demo") for path in routes)]


def test_head_request_gets_its_response_at_once_on_every_route_and_keeps_the_connection(client: httpx.Client) -> None:
    paths = get_paths(client)
    assert len(paths) > 12
    for path in paths:
        head = f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=3) as connection:
            stream = connection.makefile("rb")
            for _ in range(2):
                connection.sendall(head)
                status = int(stream.readline().split()[1])
                assert status in (200, 405), path
                while stream.readline() != b"\r\n":
                    pass
            connection.sendall(LIVE)
            assert read_response(stream)[0] == 200, path


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/metrics", "/nothing"])
def test_unusual_methods_never_cause_a_server_error(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path, timeout=5).status_code in (200, 404, 405)


def test_pipelined_requests_get_their_responses_in_order(client: httpx.Client) -> None:
    batch = post_request(b"[%b]" % BODY, "x-request-id: batch", path="/predict/batch")
    row = post_request(BODY, "x-request-id: row")
    explained = post_request(BODY, "x-request-id: explained", path="/predict?explain=true")
    responses = exchange(client, (batch + row + explained) * 20, responses=60)
    assert [headers["x-request-id"] for _, headers, _ in responses] == ["batch", "row", "explained"] * 20


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
def test_invalid_content_length_gets_4xx(client: httpx.Client, path: str, length: bytes, status: int) -> None:
    request = b"POST %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n" % (path.encode(), length and length + b"\r\n")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        connection.sendall(request)
        if status == 413:
            connection.sendall(b" ")
        assert int(connection.recv(65536).split()[1]) == status


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/labels"])
@pytest.mark.parametrize("expected", ["100-continue", "100-CONTINUE"])
def test_expect_100_continue_gets_the_interim_and_then_the_final_response(
    client: httpx.Client, path: str, expected: str
) -> None:
    body = BODY if path == "/predict" else b"[%b]" % BODY
    head, _, _ = post_request(body, f"expect: {expected}", path=path).partition(b"\r\n\r\n")
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        stream = connection.makefile("rb")
        connection.sendall(head + b"\r\n\r\n")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        connection.sendall(body)
        assert read_response(stream)[0] == (422 if path == "/labels" else 200)
        connection.sendall(LIVE)
        assert read_response(stream)[0] == 200


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_expectation_of_http_1_0_gets_the_final_response_only(client: httpx.Client, path: str) -> None:
    request = post_request(BODY if path == "/predict" else b"[%b]" % BODY, "expect: 100-continue", path=path)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "coding", ["gzip, chunked", "identity, chunked", "gzip\r\ntransfer-encoding: chunked"], ids=ascii
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations", "/v2/models/demo/infer", "/labels"])
@pytest.mark.parametrize("upgrade", ["", "connection: upgrade\r\nupgrade: h2c\r\n"], ids=["", "upgrade"])
def test_transfer_coding_besides_chunked_gets_400_and_closes_the_connection(
    client: httpx.Client, path: str, coding: str, upgrade: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{upgrade}transfer-encoding: {coding}\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        connection.sendall(head.encode() + chunks + LIVE)
        stream = connection.makefile("rb")
        assert read_response(stream)[0] == 400
        assert stream.read() == b""


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
def test_unusual_paths_get_4xx_and_never_become_metric_labels(client: httpx.Client, method: str, target: str) -> None:
    request = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
    [(status, headers, _)] = exchange(client, request)
    assert 400 <= status < 500
    assert "set-cookie" not in headers
    routes = {
        line.split('route="')[1].split('"')[0] for line in client.get("/metrics").text.splitlines() if 'route="' in line
    }
    assert routes <= {*client.get("/openapi.json").json()["paths"], "other", "/", "/docs", "/openapi.json"} | {
        route for route in routes if route.startswith(("/page", "/v2/models/{name}", "/static"))
    }


@pytest.mark.parametrize("kind", ["upgrade", "streamed", "no content", "early"])
def test_head_of_a_response_is_not_held_longer_than_its_body_takes(kind: str) -> None:
    """A response head is held until its body starts: the body is empty, streamed, or sent before the request ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [(b"content-length", b"0")] if kind == "no content" else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if kind == "streamed":
            for part in (b"one", b"two"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    requests = {"upgrade": b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"}
    requests["early"] = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n"
    with (
        served(app, timeout_keep_alive=3600) as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=3) as connection,
    ):
        connection.sendall(requests.get(kind, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"))
        content = connection.recv(65536)
        if kind == "streamed":
            while not content.endswith(b"0\r\n\r\n"):
                content += connection.recv(65536)
        assert content.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "host",
    [
        "", "host: a\r\nhost: a\r\n", "host: localhost\r\nhost: other\r\n", "host: a b\r\n", "host: user@localhost\r\n",
        "host: localhost/x\r\n", "host: ::1\r\n", "host: localhost:80:80\r\n", "host: localhost:x\r\n",
        "host: \xe9\r\n", "host: [::1\r\n", "host: %zz\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "line", ["POST /predict", "POST /predict?explain=true", "POST /predict/batch", "GET /health/live", "GET /nothing"]
)
def test_request_without_one_valid_host_gets_400_and_its_connection_is_closed(
    client: httpx.Client, line: str, host: str
) -> None:
    body = b"[%b]" % BODY if "batch" in line else BODY
    request = f"{line} HTTP/1.1\r\n{host}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        connection.sendall(request + LIVE)
        stream = connection.makefile("rb")
        status, headers, content = read_response(stream)
        assert (status, headers["connection"]) == (400, "close")
        assert b"invalid_host" in content
        assert stream.read() == b""


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:", "[::1]:8000"])
def test_every_form_of_a_valid_host_is_served(client: httpx.Client, host: str) -> None:
    request = post_request().replace(b"host: localhost", b"Host:" + host.encode())
    assert exchange(client, request)[0][0] == 200


def test_request_of_http_1_0_needs_no_host_but_may_not_have_two(client: httpx.Client) -> None:
    request = post_request(version="1.0")
    assert exchange(client, request.replace(b"host: localhost\r\n", b""))[0][0] == 200
    assert exchange(client, request.replace(b"host: localhost\r\n", b"host: localhost\r\n" * 2))[0][0] == 400


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_only_http_1_0_needs_no_host(client: httpx.Client, version: str) -> None:
    request = post_request(version=version).replace(b"host: localhost\r\n", b"")
    assert exchange(client, request)[0][0] == 400


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost:8000/predict", "other", 200), ("HTTP://[::1]/predict?a=://other/", "other", 200),
        ("http://other/predict", "localhost", 403), ("ftp://other/predict", "localhost", 403),
        ("http://user@localhost/predict", "localhost", 400), ("http://localhost/predict", "", 400),
        ("/predict?a=http://other/", "localhost", 200),
    ],
)  # fmt: skip
def test_host_of_a_target_in_absolute_form_counts(client: httpx.Client, target: str, host: str, status: int) -> None:
    request = post_request(path=target).replace(b"host: localhost\r\n", f"host: {host}\r\n".encode() if host else b"")
    assert exchange(client, request)[0][0] == status
