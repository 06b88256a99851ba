"""All bodies together have a bound; small ones are answered whatever there is of large ones."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from serving.app import create_app
from serving.settings import ServiceSettings
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.serving.test_drain import process
from tests.serving.test_memory import resident
from tests.serving.test_slow_clients import connect, scraped, until

SIZE = 300_000


@pytest.fixture
def service(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    """A service with room for three bodies."""
    named: Any = {"artifact": packaged.folder, "artifact_digest": packaged.digest}
    with running(create_app(ServiceSettings(**named, max_body_bytes=SIZE, all_bodies_bytes=3 * SIZE + 1000))) as client:
        wait_until_loaded(client)
        yield client


def held(client: httpx.Client) -> float:
    return scraped(client, "skline_body_bytes")["held"]


def turned_away(client: httpx.Client) -> float:
    return scraped(client, "skline_refusals_total")["no_room"]


def almost(client: httpx.Client, path: str, row: dict[str, Any]) -> socket.socket:
    """Send a request but for its last byte."""
    content = orjson.dumps([row] if "batch" in path else row).ljust(SIZE)
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\n\r\n"
    connection = connect(client)
    with contextlib.suppress(ConnectionError):
        connection.sendall(head.encode() + content[:-1])
    return connection


def test_bodies_beyond_all_that_may_be_held_are_told_to_come_again(
    service: httpx.Client, example: dict[str, Any]
) -> None:
    paths = ["/predict", "/predict/batch", "/labels"]
    begun = [almost(service, path, example) for path in paths]
    until(lambda: held(service) == 3 * (SIZE - 1))
    for count, path in enumerate([*paths, "/invocations", "/v2/models/demo/infer"], 1):
        with almost(service, path, example) as another:
            until(lambda count=count: turned_away(service) == count)  # type: ignore[misc]
            with contextlib.suppress(ConnectionResetError):  # it was still sending
                answer = another.recv(65536)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1\r\n" in answer
                assert b"connection: close\r\n" in answer
        assert service.post("/predict", json=example).status_code == 200
    assert held(service) == 3 * (SIZE - 1)
    statuses = []
    for connection in begun:
        connection.sendall(b" ")
        statuses.append(connection.recv(65536)[9:12])
        connection.close()
    assert statuses == [b"200", b"200", b"422"]
    until(lambda: held(service) == 0)


def test_who_goes_away_leaves_its_room(service: httpx.Client, example: dict[str, Any]) -> None:
    for _ in range(5):
        almost(service, "/predict", example).close()
        until(lambda: held(service) == 0)
    assert turned_away(service) == 0


def test_the_room_of_all_is_not_less_than_that_of_one(packaged: demo.Packaged) -> None:
    with pytest.raises(ValueError, match="less than max_body_bytes"):
        ServiceSettings(max_body_bytes=200 * 2**20)


@pytest.mark.slow
def test_many_bodies_just_under_the_limit_do_not_multiply_memory(
    packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    body = orjson.dumps([example] * 100).ljust(16 * 2**20)
    statuses: list[int] = []

    def send(url: httpx.URL) -> None:
        with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=url, trust_env=False, timeout=120) as one:
            statuses.append(one.post("/predict/batch", content=body).status_code)

    with process(packaged, LIMITS__RATE="off") as (running, client):
        before = most = resident(running.pid)
        threads = [threading.Thread(target=send, args=(client.base_url,)) for _ in range(64)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert client.post("/predict", json=example).status_code == 200
            most = max(most, resident(running.pid))
            time.sleep(0.02)
        refused = turned_away(client)
        print(f"{before:.0f} MiB, {most:.0f} at most; {refused:.0f} refused; {sorted(statuses)}")
        # The room is 128 MiB; a body is copied once when it is whole, and read by one thread.
        assert most - before < 2.5 * 128
        assert refused > 0
        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        assert held(client) == 0
