"""Hostile input gets a 4xx or a closed connection, never a 5xx, and never takes more memory than the limits allow."""

import contextlib
import socket
from collections.abc import Iterator

import httpx
import orjson
import pytest

from tests.fixtures import demo
from tests.fixtures.memory import peak_mib, resident_mib
from tests.fixtures.server import process

ROUTES = ["/predict", "/predict/batch", "/labels", "/review/x", "/invocations", "/v2/models/demo/infer", "/nothing"]
EXAMPLE = orjson.dumps({column.name: column.example for column in demo.contract().inputs})
FULL = 15 * 2**20  # just below the limit of a body
BODIES = {
    "50 MB": b" " * 50_000_000,
    "a million deep": b"[" * 1_000_000,
    "objects in objects": b'{"a":' * 200_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "zeros": b"[" + b"0," * (FULL // 2) + b"0]",
    "empty rows": b"[" + b"{}," * (FULL // 3) + b"{}]",
    "a million fields": b"[{" + b",".join(b'"%x":0' % index for index in range(FULL // 12)) + b"}]",
    "fields of one row": b"{" + b",".join(b'"%x":0' % index for index in range(FULL // 12)) + b"}",
    "1e999": b'[{"prediction_id":"x","label":1e999}]',
    "1e999 in a row": b'{"distance":1e999}',
    "NaN": b'[{"prediction_id":"x","label":NaN}]',
    "NaN as a review result": b'{"label":NaN}',
    "digits": b'{"label":' + b"9" * 5000 + b"}",
    "lone surrogates": b'[{"prediction_id":"\\ud800","label":"\\ud800"}]',
    "a lone surrogate as a name": b'{"\\ud800":1}',
    "invalid UTF-8": b'{"label":"\xff\xfe"}',
    "a field twice": EXAMPLE[:-1] + b"," + EXAMPLE[1:-1] + b',"nope":1}',
    "bytes": bytes(range(256)),
    "gzip": b"\x1f\x8b\x08\x00",
}
HEAD = b" HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
POST = b"POST /predict" + HEAD
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"
#: Input that is not valid HTTP: each must get a 4xx, or be closed without a response.
RAW = {
    "length below zero": [POST + b"content-length: -4\r\n\r\nabcd"],
    "length beyond numbers": [POST + b"content-length: 99999999999999999999999\r\n\r\nabcd"],
    "length beyond memory": [POST + b"content-length: 9999999999999999\r\n\r\nabcd"],
    "two lengths": [POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde"],
    "length, then chunked": [POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n" + SMUGGLED],
    "chunked, then length": [POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + SMUGGLED],
    "chunked by another name": [POST + b"transfer-encoding: xchunked\r\n\r\n" + SMUGGLED],
    "chunked before another": [POST + b"transfer-encoding: chunked, identity\r\n\r\n" + SMUGGLED],
    "a space before the colon": [POST + b"transfer-encoding : chunked\r\n\r\n" + SMUGGLED],
    "a folded header": [POST + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}"],
    "lines without CR": [b"GET /ping HTTP/1.1\nhost: localhost\n\n"],
    "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    "a NUL in the path": [b"GET /pi\x00ng HTTP/1.1\r\nhost: localhost\r\n\r\n"],
    "CONNECT": [b"CONNECT a:80 HTTP/1.1\r\nhost: localhost\r\n\r\n"],
    "junk": [bytes(range(255, -1, -1)) * 400],
    "chunks that never end": [CHUNKED, *[b"2000\r\n" + b" " * 8192 + b"\r\n"] * 10_000],
    "chunks of labels that never end": [
        b"POST /labels" + HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"2000\r\n" + b" " * 8192 + b"\r\n"] * 10_000
    ],
    "a chunk's extension that never ends": [CHUNKED, b"1;", *[b"a" * 65536] * 500],
    "trailers that never end": [CHUNKED, b"0\r\n", *[b"x-a: " + b"b" * 9000 + b"\r\n"] * 5000],
    "a trailer that never ends": [CHUNKED, b"0\r\nx-a: ", *[b"b" * 65536] * 500],
    "a size beyond numbers": [CHUNKED + b"ffffffffffffffffff\r\n"],
    "headers that never end": [b"GET /ping HTTP/1.1\r\n", *[b"x-a: " + b"b" * 9000 + b"\r\n"] * 5000],
    "a header that never ends": [b"GET /ping HTTP/1.1\r\nx-a: ", *[b"b" * 65536] * 500],
    "a path that never ends": [b"GET /", *[b"b" * 65536] * 500],
}  # fmt: skip


@pytest.fixture(scope="module")
def service(packaged: demo.Packaged) -> Iterator[tuple[int, httpx.Client]]:
    """Process id and client of a service with short timeouts."""
    with process(packaged, LIMITS__REQUEST_SECONDS="3", LIMITS__HEAD_SECONDS="3") as (running, client):
        client.timeout = httpx.Timeout(60)
        yield running.pid, client


@pytest.fixture(scope="module")
def patient_service(packaged: demo.Packaged) -> Iterator[tuple[int, httpx.Client]]:
    """The same with the default timeouts: on a busy machine it takes long to validate a large body."""
    with process(packaged) as (running, client):
        client.timeout = httpx.Timeout(60)
        yield running.pid, client


@pytest.mark.parametrize("route", ROUTES)
def test_hostile_body_gets_4xx_and_takes_little_memory(patient_service: tuple[int, httpx.Client], route: str) -> None:
    pid, client = patient_service
    client.post("/predict", content=EXAMPLE)
    before = peak_mib(pid)
    for name, body in BODIES.items():
        for kind in ("application/json", "text/csv") if route == "/invocations" else ("application/json",):
            response = client.post(route, content=body, headers={"content-type": kind})
            assert 400 <= response.status_code < 500, (name, kind, response.status_code, response.text[:200])
            assert response.headers["content-type"] == "application/json"
    encoded = client.post(route, content=EXAMPLE, headers={"content-encoding": "gzip"})
    assert encoded.status_code in (404, 415)
    # A body of 16 MiB is in memory twice while it is parsed, and its quotes and commas are counted in a list.
    assert peak_mib(pid) - before < 250, route
    assert client.post("/predict", content=EXAMPLE).status_code == 200


@pytest.mark.parametrize("name", RAW)
def test_invalid_http_gets_4xx_or_a_closed_connection(service: tuple[int, httpx.Client], name: str) -> None:
    pid, client = service
    before = peak_mib(pid)
    response = b""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            for part in RAW[name]:
                connection.sendall(part)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                response += part
    assert response == b"" or response.startswith(b"HTTP/1.1 4"), response[:200]
    assert response.count(b"HTTP/1.1 ") <= 1, "the smuggled request got a response"
    assert peak_mib(pid) - before < 100
    assert client.get("/ping").status_code == 200


def test_thousands_of_pipelined_requests_each_get_a_response(service: tuple[int, httpx.Client]) -> None:
    _, client = service
    count = 5000
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.setblocking(True)
        head = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
        connection.sendall((head + b"\r\n") * count + head + b"connection: close\r\n\r\n")
        responses = b""
        while part := connection.recv(2**20):
            responses += part
    assert responses.count(b"HTTP/1.1 200 OK") == count + 1


def test_pipelined_requests_that_wait_take_little_memory(service: tuple[int, httpx.Client]) -> None:
    pid, client = service
    client.get("/ping")
    before = resident_mib(pid)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=1) as connection:
        with contextlib.suppress(TimeoutError):  # the service stops reading
            connection.sendall(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n" * 200_000)
        assert {client.get("/ping").status_code for _ in range(10)} == {200}
        assert resident_mib(pid) - before < 20


def test_body_in_chunks_of_one_byte_is_read_whole(service: tuple[int, httpx.Client]) -> None:
    _, client = service
    body = EXAMPLE + b" " * 50_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.sendall(CHUNKED + chunks + CHUNKED.replace(b"host", b"connection: close\r\nhost", 1) + chunks)
        responses = b"".join(iter(lambda: connection.recv(2**20), b""))
    assert responses.count(b"HTTP/1.1 200 OK") == 2
