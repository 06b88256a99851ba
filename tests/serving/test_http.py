"""Requests that come whole are answered on a short way, all others on uvicorn's; nobody can tell which it was."""

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

from serving.app import create_app
from serving.http import ShortProtocol
from serving.settings import ServiceSettings
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.serving.loopback import served

ROW = {column.name: column.example for column in demo.contract().inputs}
BODY = json.dumps(ROW).encode()
LIVE = b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that are answered on the short way."""
    seen: list[int] = []
    write = ShortProtocol._write

    def watched(self: ShortProtocol, answer: Any, *, keep_alive: bool) -> None:
        seen.append(answer.status_code)
        write(self, answer, keep_alive=keep_alive)

    monkeypatch.setattr(ShortProtocol, "_write", watched)
    return seen


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    """Connect to where the client's requests go."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        yield connection


def asking(body: bytes = BODY, *headers: str, path: str = "/predict", version: str = "1.1") -> bytes:
    """Write a POST request."""
    lines = [f"POST {path} HTTP/{version}", "host: a", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def talk(client: httpx.Client, *parts: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Send parts one by one on one connection; return status, headers and body of each answer."""
    with connected(client) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        stream = connection.makefile("rb")
        return [read_answer(stream) for _ in range(answers)]


def read_answer(stream: Any) -> tuple[int, dict[str, str], bytes]:
    """Read one answer, after an interim one if there is one."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode().partition(": ")
        assert name not in headers, f"{name} is there twice"
        headers[name] = value.strip()
    if status == 100:
        return read_answer(stream)
    return status, headers, stream.read(int(headers.get("content-length", 0)))


def lasting(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """What is the same in each answer to a request."""
    status, headers, body = answer
    own = {"x-request-id": "…", "date": "…", "content-length": "…"}
    return status, headers | own, re.sub(rb'"prediction_id":"[0-9a-f]{32}"', b"", body)


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
def test_both_ways_give_the_same_answer(
    client: httpx.Client, short: list[int], body: bytes, headers: tuple[str, ...], status: int
) -> None:
    ask = asking(body, *headers)
    [at_once] = talk(client, ask)
    assert short == [status]
    [other] = talk(client, asking(body, *headers, path="/predict?explain=false"))
    assert short == [status], "a query is for the other way"
    at_once[1].pop("traceresponse", None), other[1].pop("traceresponse", None)  # it names a new span
    assert lasting(at_once) == lasting(other)
    assert at_once[0] == status


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(asking()) * 2), max_size=6))
def test_however_the_bytes_come_each_request_is_answered_in_its_turn(client: httpx.Client, cuts: list[int]) -> None:
    other = json.dumps(ROW | {"distance": 7}).encode()
    stream = asking(BODY, "x-request-id: one") + LIVE + asking(other, "x-request-id: two")
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    answers = talk(client, *(stream[a:b] for a, b in itertools.pairwise(edges)), answers=3)
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert [answers[0][1]["x-request-id"], answers[2][1]["x-request-id"]] == ["one", "two"]
    assert json.loads(answers[1][2]) == {"live": True}


def test_a_connection_stays_open_or_not_as_the_client_says(client: httpx.Client, short: list[int]) -> None:
    [kept, last] = talk(client, asking() + asking(BODY, "connection: close"), answers=2)
    assert "connection" not in kept[1]
    assert last[1]["connection"] == "close"
    assert short == [200], "the second came before the first was answered"
    with connected(client) as connection:
        connection.sendall(asking(BODY, "connection: close") + asking())
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    assert content.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "ask",
    [
        asking(BODY, version="1.0"),
        asking(BODY, "expect: 100-continue"),
        b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n" % (len(BODY), BODY),
    ],
    ids=["HTTP 1.0", "100-continue", "chunked"],
)
def test_what_cannot_be_answered_at_once_goes_the_other_way(client: httpx.Client, short: list[int], ask: bytes) -> None:
    end = b"0\r\n\r\n" if b"chunked" in ask else b""
    [(status, _, body)] = talk(client, ask, end)
    assert (status, "prediction" in json.loads(body)) == (200, True)
    assert not short or end, "both pieces may be read at once, and chunks may be short too"


def test_a_body_beyond_the_limit_is_refused(packaged: demo.Packaged, serve: Any) -> None:
    client = serve(packaged.folder, packaged.digest, max_body_bytes=200)
    [(status, headers, _)] = talk(client, asking(BODY + b" " * 200))
    assert (status, headers["connection"]) == (413, "close")


@pytest.fixture
def strict(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    """A service with three requests a minute."""
    given: Any = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits={"rate": "3/minute"})  # type: ignore[arg-type]
    service = create_app(given)
    with running(service) as client:
        wait_until_loaded(client)
        yield client


def test_the_rate_is_counted_once_a_request(strict: httpx.Client, short: list[int]) -> None:
    answers = [talk(strict, asking())[0] for _ in range(4)]
    assert [status for status, _, _ in answers] == short == [200, 200, 200, 429]
    assert int(answers[3][1]["retry-after"]) > 0


def test_a_model_that_fails_is_asked_again_where_others_can_answer(
    strict: httpx.Client, short: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.scorers.Planned.submit", lambda _, row, done: done(KeyError("a column")))
    answers = [talk(strict, asking())[0] for _ in range(4)]
    assert [status for status, _, _ in answers] == short == [200, 200, 200, 429], "each is admitted once"


def test_many_requests_on_one_connection_are_no_endless_head(client: httpx.Client) -> None:
    ask = asking(BODY, f"x-filler: {'f' * 4000}")
    assert {status for status, _, _ in talk(client, *[ask] * 40, answers=40)} == {200}


@pytest.mark.parametrize("status", [200, 204, 304, 404])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_a_body_is_sent_when_it_is_complete(method: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    # The end of a kept connection would send it too.
    with served(app, timeout_keep_alive=3600) as client:
        assert [client.request(method, "/").status_code for _ in range(3)] == [status] * 3


def test_who_is_refused_in_the_middle_of_a_large_body_hears_why(packaged: demo.Packaged, serve: Any) -> None:
    client = serve(packaged.folder, packaged.digest, max_body_bytes=100_000)
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(5):
        with connected(client) as connection:
            connection.sendall(head)
            for _ in range(300):  # ten megabytes; who sends without listening must not be cut off in between
                connection.sendall(chunk)
            status, headers, _ = read_answer(connection.makefile("rb"))
            assert (status, headers["connection"]) == (413, "close")
            assert connection.recv(1) == b"", "nothing more comes"


def test_a_body_without_an_end_is_listened_to_for_a_moment_alone(
    packaged: demo.Packaged, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.joining.LINGER_SECONDS", 0.05)
    client = serve(packaged.folder, packaged.digest, max_body_bytes=100_000)
    with connected(client) as connection, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            connection.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
