"""What hostile clients send is a 4xx or a documented answer, never a 5xx, and never takes more memory than it may."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests import demo
from tests.serving.test_drain import process

ROUTES = ["/predict", "/predict/batch", "/labels", "/review/x", "/invocations", "/v2/models/demo/infer", "/nothing"]
EXAMPLE = orjson.dumps({column.name: column.example for column in demo.contract().inputs})
FULL = 15 * 2**20  # just within the limit of a body
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
    "NaN as a finding": b'{"label":NaN}',
    "digits": b'{"label":' + b"9" * 5000 + b"}",
    "lone surrogates": b'[{"prediction_id":"\\ud800","label":"\\ud800"}]',
    "a lone surrogate as a name": b'{"\\ud800":1}',
    "no UTF-8": b'{"label":"\xff\xfe"}',
    "a field twice": EXAMPLE[:-1] + b"," + EXAMPLE[1:-1] + b',"nope":1}',
    "bytes": bytes(range(256)),
    "gzip": b"\x1f\x8b\x08\x00",
}
HEAD = b" HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
POST = b"POST /predict" + HEAD
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: a\r\n\r\n"
#: What is no HTTP, or should not be: each must get a 4xx or be closed without any.
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
    "lines without CR": [b"GET /ping HTTP/1.1\nhost: a\n\n"],
    "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    "a NUL in the path": [b"GET /pi\x00ng HTTP/1.1\r\nhost: a\r\n\r\n"],
    "CONNECT": [b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n"],
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
    """The process id of a service that does not wait long, and a client of it."""
    with process(packaged, LIMITS__REQUEST_SECONDS="3", LIMITS__HEAD_SECONDS="3") as (running, client):
        client.timeout = httpx.Timeout(60)
        yield running.pid, client


@pytest.fixture(scope="module")
def patient(packaged: demo.Packaged) -> Iterator[tuple[int, httpx.Client]]:
    """The same of one that takes its time, as it must on a busy machine to find out what is wrong with a large body."""
    with process(packaged) as (running, client):
        client.timeout = httpx.Timeout(60)
        yield running.pid, client


def peak(pid: int) -> int:
    """The most memory that a process has held so far, in MiB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize("route", ROUTES)
def test_a_hostile_body_is_a_4xx_and_takes_little_memory(patient: tuple[int, httpx.Client], route: str) -> None:
    pid, client = patient
    client.post("/predict", content=EXAMPLE)
    before = peak(pid)
    for name, body in BODIES.items():
        for kind in ("application/json", "text/csv") if route == "/invocations" else ("application/json",):
            answer = client.post(route, content=body, headers={"content-type": kind})
            assert 400 <= answer.status_code < 500, (name, kind, answer.status_code, answer.text[:200])
            assert answer.headers["content-type"] == "application/json"
    encoded = client.post(route, content=EXAMPLE, headers={"content-encoding": "gzip"})
    assert encoded.status_code in (404, 415)
    # A body of 16 MiB is held twice while it is read, and its marks are counted in a list.
    assert peak(pid) - before < 250, route
    assert client.post("/predict", content=EXAMPLE).status_code == 200


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_http_is_a_4xx_or_closed(service: tuple[int, httpx.Client], name: str) -> None:
    pid, client = service
    before = peak(pid)
    answer = b""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            for part in RAW[name]:
                connection.sendall(part)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") <= 1, "what was smuggled is answered"
    assert peak(pid) - before < 100
    assert client.get("/ping").status_code == 200


def test_requests_sent_together_are_answered_in_order(service: tuple[int, httpx.Client]) -> None:
    _, client = service
    count = 5000
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.setblocking(True)
        head = b"GET /health/live HTTP/1.1\r\nhost: a\r\n"
        connection.sendall((head + b"\r\n") * count + head + b"connection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(2**20):
            answer += part
    assert answer.count(b"HTTP/1.1 200 OK") == count + 1
