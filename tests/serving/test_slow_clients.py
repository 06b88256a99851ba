"""Clients that send slowly, never end, or never read, take nothing from those who ask and listen."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest

from serving.app import create_app
from serving.settings import ServiceSettings
from tests import demo
from tests.conftest import wait_until_loaded
from tests.serving.loopback import served
from tests.serving.test_drain import process

CLOSED = "skline_connections_closed_total"


def scraped(client: httpx.Client, name: str) -> dict[str, float]:
    """A family of /metrics by its label's value."""
    lines = client.get("/metrics").text.splitlines()
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{")}


@pytest.fixture
def service(packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A service that is impatient and has room for eight connections."""
    monkeypatch.setattr("serving.connections.LOOK_EVERY", 0.05)
    limits: dict[str, Any] = {"connections": 8, "head_seconds": 0.5, "request_seconds": 2}
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits=limits)  # type: ignore[arg-type]
    with served(create_app(settings), lifespan="on") as client:
        wait_until_loaded(client)
        yield client


def connect(client: httpx.Client, *sent: bytes) -> socket.socket:
    """Open a connection and send what is given."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20)
    for part in sent:
        connection.sendall(part)
    return connection


def closed(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    content = b""
    try:
        while part := connection.recv(65536):
            content += part
    except ConnectionResetError:
        pass
    connection.close()
    return content


def until(true: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not true():
        assert time.monotonic() < limit, "it never came to be"
        time.sleep(0.02)


FIRST = b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "sent"), [(b"", b""), (b"", b"POST /predict HT"), (FIRST, b"GET /ping HTTP/1.1\r\n")]
)
def test_a_head_that_does_not_end_has_an_end_nevertheless(service: httpx.Client, first: bytes, sent: bytes) -> None:
    connection = connect(service, first)
    assert not first or b"200 OK" in connection.recv(65536)
    connection.sendall(sent)
    assert closed(connection) == b""
    assert scraped(service, CLOSED)["slow_head"] == 1


def test_a_body_that_does_not_come_is_a_408(service: httpx.Client) -> None:
    connection = connect(service, b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n{")
    answer = closed(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer


def test_a_head_beyond_its_limit_is_a_431(service: httpx.Client) -> None:
    connection = connect(service, b"GET /ping HTTP/1.1\r\n")
    answer = b""
    with contextlib.suppress(ConnectionError):
        for index in range(100_000):
            connection.sendall(b"x-%06d: %s\r\n" % (index, b"a" * 2000))
    with contextlib.suppress(ConnectionError):
        answer = connection.recv(65536)
    connection.close()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert scraped(service, CLOSED)["big_head"] == 1


def test_an_answer_that_nobody_reads_is_not_kept(service: httpx.Client) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((service.base_url.host, service.base_url.port))
    connection.sendall(b"GET /page/page.js HTTP/1.1\r\nhost: a\r\n\r\n" * 1000)
    until(lambda: scraped(service, CLOSED)["unread"] == 1)
    connection.close()


def test_for_one_more_the_one_that_has_said_nothing_goes(service: httpx.Client) -> None:
    silent = [connect(service) for _ in range(30)]
    with httpx.Client(base_url=service.base_url, trust_env=False) as another:
        for _ in range(20):
            assert another.get("/health/live").status_code == 200
            silent.append(connect(service))
        assert scraped(service, CLOSED)["excess"] >= 40
        assert scraped(service, "skline_connections")["open"] <= 8
    for connection in silent:
        connection.close()


def ask_and_keep(connection: socket.socket) -> None:
    connection.sendall(FIRST)
    assert b"200 OK" in connection.recv(65536)


def begin_request(client: httpx.Client) -> socket.socket:
    """Send a head that is whole, and give the service a moment to read it."""
    connection = connect(client, b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n")
    time.sleep(0.01)
    return connection


def test_one_that_asks_again_and_again_stays_whatever_comes(service: httpx.Client) -> None:
    """Though it is the oldest, and in the middle of a request, as are all others."""
    kept = connect(service)
    for _ in range(10):
        ask_and_keep(kept)
        time.sleep(0.05)
    kept.sendall(b"POST /ping HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n")
    begun = [begin_request(service) for _ in range(16)]
    kept.sendall(b"x")
    assert kept.recv(65536).startswith(b"HTTP/1.1 405 ")
    begun += [begin_request(service) for _ in range(16)]
    ask_and_keep(kept)
    assert scraped(service, CLOSED)["excess"] >= 24
    for connection in [kept, *begun]:
        connection.close()


def test_of_those_that_ask_again_and_again_three_quarters_of_the_places_stay(service: httpx.Client) -> None:
    regular = []
    for _ in range(8):
        regular.append(connect(service))
        ask_and_keep(regular[-1])
    for _ in range(10):
        for connection in regular:
            ask_and_keep(connection)
        time.sleep(0.05)
    begun = [begin_request(service) for _ in range(16)]
    answered = 0
    for connection in regular:
        with contextlib.suppress(ConnectionError, AssertionError):
            ask_and_keep(connection)
            answered += 1
    assert answered == 6
    for connection in regular + begun:
        connection.close()


def test_one_that_asked_again_and_again_goes_when_it_asks_no_more(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.connections.REGULAR_SECONDS", 0.1)
    regular = [connect(service) for _ in range(7)]
    for _ in range(10):
        for connection in regular:
            ask_and_keep(connection)
        time.sleep(0.05)
    time.sleep(0.5)
    newer = []
    for _ in range(6):
        newer.append(connect(service))
        ask_and_keep(newer[-1])
    for connection in newer:
        ask_and_keep(connection)
    for connection in regular + newer:
        connection.close()


async def ask_anew(url: str, example: dict[str, object]) -> int:
    """Ask by new connections until one is answered; how many it took, 6 if five were not."""
    for tried in range(1, 6):
        with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as new:
                assert (await new.post("/predict", json=example)).status_code == 200
                return tried
    return 6


async def ask_by_new_ones(url: str, example: dict[str, object], crowd: asyncio.subprocess.Process) -> list[int]:
    """Ask by new connections as long as the crowd is there; the tries it took."""
    tries = []
    while crowd.returncode is None:
        tries.append(await ask_anew(url, example))
        await asyncio.sleep(0.2)
    return tries


async def ask_again(kept: httpx.AsyncClient, example: dict[str, object], crowd: asyncio.subprocess.Process) -> int:
    """Ask by a connection that is kept as long as the crowd is there; how often it was answered."""
    answers = 0
    while crowd.returncode is None:
        assert (await kept.post("/predict", json=example)).status_code == 200
        answers += 1
        await asyncio.sleep(0.2)
    return answers


async def ask_amid_a_crowd(url: str, example: dict[str, object], size: int) -> tuple[list[int], int, dict[str, int]]:
    """Ask while `size` slow clients are there, in a process of their own.

    Returns the tries that new connections took, the answers on one that is kept, and what the crowd says.
    """
    command = [sys.executable, "-m", "tests.serving.crowd", url, str(size), "30"]
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as kept:
        for _ in range(10):
            assert (await kept.post("/predict", json=example)).status_code == 200, "it has asked before the crowd comes"
            await asyncio.sleep(0.3)
        crowd = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=demo.ROOT)
        try:
            tries, answers = await asyncio.gather(ask_by_new_ones(url, example, crowd), ask_again(kept, example, crowd))
            said, _ = await crowd.communicate()
        finally:
            if crowd.returncode is None:
                crowd.kill()
    return tries, answers, orjson.loads(said)


@pytest.mark.slow
@pytest.mark.parametrize(("files", "most_tries"), [(None, 1), (400, 5)])
def test_ten_thousand_slow_clients_do_not_stop_an_honest_one(
    packaged: demo.Packaged, example: dict[str, object], files: int | None, most_tries: int
) -> None:
    """Where the service may open fewer files than there are clients, too: then a new connection may be pushed out once
    or twice while thousands come at a time, before it has said what it wants; one that has asked before never is."""
    size = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < size + 100:
        pytest.skip(f"a process may not open {size + 100} files here (ulimit -Hn)")
    with process(packaged, files=files, LIMITS__RATE="off") as (running, client):
        tries, answers, crowd = asyncio.run(ask_amid_a_crowd(str(client.base_url), example, size))
        assert max(tries) <= most_tries, tries
        assert crowd["opened"] >= size
        reasons = scraped(client, CLOSED)
        assert reasons["excess"] > 0
        assert running.poll() is None
        print(f"{len(tries)} new connections in {sum(tries)} tries, {answers} answers on one, amid {crowd}; {reasons}")
