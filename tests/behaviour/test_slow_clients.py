"""Clients that send slowly, without an end, or never read, do not keep other clients from being served."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.clients import open_connection, read_to_end, wait_until
from tests.fixtures.server import process, served
from tests.fixtures.service import metric, metric_by_label

CLOSED = "skline_connections_closed_total"
REQUEST = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
LIMIT = 8


@pytest.fixture
def service(packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A service with short timeouts and at most LIMIT connections."""
    monkeypatch.setattr("skline.serving.transport.connections.SWEEP_SECONDS", 0.05)
    limits: dict[str, Any] = {"connections": LIMIT, "head_seconds": 0.5, "request_seconds": 2}
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits=limits)  # type: ignore[arg-type]
    with served(create_app(settings), lifespan="on") as client:
        wait_until_loaded(client)
        yield client


@pytest.mark.parametrize(
    ("first", "incomplete"), [(b"", b""), (b"", b"POST /predict HT"), (REQUEST, b"GET /ping HTTP/1.1\r\n")]
)
def test_connection_is_closed_if_the_head_is_incomplete_after_the_timeout(
    service: httpx.Client, first: bytes, incomplete: bytes
) -> None:
    connection = open_connection(service, first)
    assert not first or b"200 OK" in connection.recv(65536)
    connection.sendall(incomplete)
    assert read_to_end(connection) == b""
    assert metric_by_label(service, CLOSED)["slow_request"] == 1


def test_incomplete_body_gets_408_after_the_timeout(service: httpx.Client) -> None:
    connection = open_connection(service, b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{")
    response = read_to_end(connection)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in response


@pytest.mark.parametrize("path", [b"/nothing", b"/ping"])
def test_response_before_the_end_of_a_large_body_is_the_only_one(service: httpx.Client, path: bytes) -> None:
    """The path or the method is rejected as soon as the head arrives; the rest of the body is read and discarded."""
    size = 3_000_000
    connection = open_connection(
        service, b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n " % (path, size)
    )
    assert connection.recv(65536).startswith(b"HTTP/1.1 4")
    for start in range(1, size, 50_000):
        connection.sendall(b" " * min(50_000, size - start))
    connection.sendall(REQUEST)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
    connection.close()


def test_trailers_without_end_after_a_response_get_no_second_one(service: httpx.Client) -> None:
    head = b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    connection = open_connection(service, head + b"2\r\n{}\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
    response = b""
    with contextlib.suppress(ConnectionError):
        connection.sendall(b"0\r\n")
        for _ in range(5000):
            connection.sendall(b"x-a: " + b"b" * 9000 + b"\r\n")
        response = connection.recv(65536)
    assert response == b""
    connection.close()


def test_head_larger_than_limit_gets_431(service: httpx.Client) -> None:
    connection = open_connection(service, b"GET /ping HTTP/1.1\r\n")
    response = b""
    with contextlib.suppress(ConnectionError):
        for index in range(100_000):
            connection.sendall(b"x-%06d: %s\r\n" % (index, b"a" * 2000))
    with contextlib.suppress(ConnectionError):
        response = connection.recv(65536)
    connection.close()
    assert response == b"" or response.startswith(b"HTTP/1.1 431 ")
    assert metric_by_label(service, CLOSED)["oversized_head"] == 1


def test_connection_is_closed_if_the_client_does_not_read_its_responses(service: httpx.Client) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((service.base_url.host, service.base_url.port))
    connection.sendall(b"GET /page/page.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000)
    wait_until(lambda: metric_by_label(service, CLOSED)["unread_response"] == 1)
    connection.close()


def test_silent_connections_are_closed_for_new_ones_at_the_limit(service: httpx.Client) -> None:
    silent = [open_connection(service) for _ in range(30)]
    with httpx.Client(base_url=service.base_url, trust_env=False) as client:
        for _ in range(4):
            # The sweeps between these requests find the connection active.
            assert client.get("/health/live").status_code == 200
            time.sleep(0.06)
        for _ in range(20):
            assert client.get("/health/live").status_code == 200
            silent.append(open_connection(service))
        closed = metric_by_label(service, CLOSED)
        # On a busy machine some are closed by the timeout before the limit closes them.
        assert closed["connection_limit"] + closed["slow_request"] >= 40
        assert closed["connection_limit"] > 0
        assert metric(service, "skline_open_connections") <= LIMIT
    for connection in silent:
        connection.close()


def send_request(connection: socket.socket) -> None:
    """Send a request and check its response; the connection stays open."""
    connection.sendall(REQUEST)
    assert b"200 OK" in connection.recv(65536)


def open_with_incomplete_body(client: httpx.Client) -> socket.socket:
    """Send a complete head without its body, and give the service time to read it."""
    connection = open_connection(client, b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n")
    time.sleep(0.01)
    return connection


def test_active_connection_survives_a_flood(service: httpx.Client) -> None:
    """The active connection is the oldest, and its request is incomplete like all others."""
    active = open_connection(service)
    for _ in range(10):
        send_request(active)
        time.sleep(0.05)
    active.sendall(b"POST /ping HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n")
    flood = [open_with_incomplete_body(service) for _ in range(16)]
    active.sendall(b"x")
    assert active.recv(65536).startswith(b"HTTP/1.1 405 ")
    flood += [open_with_incomplete_body(service) for _ in range(16)]
    send_request(active)
    assert metric_by_label(service, CLOSED)["connection_limit"] >= 24
    for connection in [active, *flood]:
        connection.close()


def test_three_quarters_of_the_limit_can_be_active(service: httpx.Client) -> None:
    active = []
    for _ in range(LIMIT):
        active.append(open_connection(service))
        send_request(active[-1])
    for _ in range(10):
        for connection in active:
            send_request(connection)
        time.sleep(0.05)
    flood = [open_with_incomplete_body(service) for _ in range(16)]
    survivors = 0
    for connection in active:
        with contextlib.suppress(ConnectionError, AssertionError):
            send_request(connection)
            survivors += 1
    assert survivors == 6
    for connection in active + flood:
        connection.close()


def test_connection_that_stops_sending_requests_is_no_longer_active(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skline.serving.transport.connections.ACTIVE_SECONDS", 0.1)
    formerly_active = [open_connection(service) for _ in range(7)]
    for _ in range(10):
        for connection in formerly_active:
            send_request(connection)
        time.sleep(0.05)
    time.sleep(0.5)
    newer = []
    for _ in range(6):
        newer.append(open_connection(service))
        send_request(newer[-1])
    for connection in newer:
        send_request(connection)
    for connection in formerly_active + newer:
        connection.close()


async def attempts_until_response(url: str, example: dict[str, object]) -> int:
    """Send a request over new connections until one gets its response; return the attempts, 6 if five failed."""
    for attempt in range(1, 6):
        with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
                assert (await client.post("/predict", json=example)).status_code == 200
                return attempt
    return 6


async def send_over_new_connections(
    url: str, example: dict[str, object], load: asyncio.subprocess.Process
) -> list[int]:
    """Send requests over new connections while the load runs; return the attempts that each took."""
    attempts = []
    while load.returncode is None:
        attempts.append(await attempts_until_response(url, example))
        await asyncio.sleep(0.2)
    return attempts


async def send_over_one_connection(
    client: httpx.AsyncClient, example: dict[str, object], load: asyncio.subprocess.Process
) -> int:
    """Send requests over a kept connection while the load runs; return how many got their response."""
    responses = 0
    while load.returncode is None:
        assert (await client.post("/predict", json=example)).status_code == 200
        responses += 1
        await asyncio.sleep(0.2)
    return responses


async def send_under_load(url: str, example: dict[str, object], size: int) -> tuple[list[int], int, dict[str, int]]:
    """Send requests while `size` slow clients, in a process of their own, hold connections.

    Returns
    -------
    The attempts of each new connection, the number of responses over one kept connection, and the report of the load.
    """
    command = [sys.executable, "-m", "tests.fixtures.load", url, str(size), "30"]
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as kept:
        for _ in range(10):
            assert (await kept.post("/predict", json=example)).status_code == 200, "active before the load starts"
            await asyncio.sleep(0.3)
        load = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=demo.ROOT)
        try:
            attempts, responses = await asyncio.gather(
                send_over_new_connections(url, example, load), send_over_one_connection(kept, example, load)
            )
            report, _ = await load.communicate()
        finally:
            if load.returncode is None:
                load.kill()
    return attempts, responses, orjson.loads(report)


@pytest.mark.slow
@pytest.mark.parametrize(("files", "max_attempts"), [(None, 1), (400, 5)])
def test_ten_thousand_slow_clients_do_not_stop_an_honest_one(
    packaged: demo.Packaged, example: dict[str, object], files: int | None, max_attempts: int
) -> None:
    """With a file limit below the number of clients, too.

    Then a new connection may be replaced a few times before its request is read, while thousands of clients connect
    at the same moment. An active connection never is.
    """
    size = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < size + 100:
        pytest.skip(f"a process may not open {size + 100} files here (ulimit -Hn)")
    with process(packaged, files=files, LIMITS__RATE="off") as (running, client):
        attempts, responses, load = asyncio.run(send_under_load(str(client.base_url), example, size))
        assert max(attempts) <= max_attempts, attempts
        assert load["opened"] >= size
        reasons = metric_by_label(client, CLOSED)
        assert reasons["connection_limit"] > 0
        assert running.poll() is None
        print(
            f"{len(attempts)} new connections in {sum(attempts)} attempts, {responses} responses over one, "
            f"under {load}; closed: {reasons}"
        )
