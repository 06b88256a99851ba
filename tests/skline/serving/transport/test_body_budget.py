"""The memory of all request bodies is limited, and small bodies get their response regardless of large ones."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.clients import open_connection, wait_until
from tests.fixtures.memory import resident_mib
from tests.fixtures.server import process
from tests.fixtures.service import metric, metric_by_label

SIZE = 300_000


@pytest.fixture
def service(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    """A service whose memory budget is three bodies."""
    artifact: Any = {"artifact": packaged.folder, "artifact_digest": packaged.digest}
    with running(
        create_app(ServiceSettings(**artifact, max_body_bytes=SIZE, all_bodies_bytes=3 * SIZE + 1000))
    ) as client:
        wait_until_loaded(client)
        yield client


def reserved_bytes(client: httpx.Client) -> float:
    return metric(client, "skline_body_memory_bytes")


def rejected_bodies(client: httpx.Client) -> float:
    return metric_by_label(client, "skline_rejected_requests_total")["body_memory"]


def send_all_but_last_byte(client: httpx.Client, path: str, row: dict[str, Any]) -> socket.socket:
    content = orjson.dumps([row] if "batch" in path else row).ljust(SIZE)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\n\r\n"
    )
    connection = open_connection(client)
    with contextlib.suppress(ConnectionError):
        connection.sendall(head.encode() + content[:-1])
    return connection


def test_bodies_beyond_the_budget_get_503_with_retry_after(service: httpx.Client, example: dict[str, Any]) -> None:
    paths = ["/predict", "/predict/batch", "/labels"]
    incomplete = [send_all_but_last_byte(service, path, example) for path in paths]
    wait_until(lambda: reserved_bytes(service) == 3 * (SIZE - 1))
    for count, path in enumerate([*paths, "/invocations", "/v2/models/demo/infer"], 1):
        with send_all_but_last_byte(service, path, example) as connection:
            wait_until(lambda count=count: rejected_bodies(service) == count)  # type: ignore[misc]
            with contextlib.suppress(ConnectionResetError):  # it was still sending
                response = connection.recv(65536)
                assert response.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1\r\n" in response
                assert b"connection: close\r\n" in response
        assert service.post("/predict", json=example).status_code == 200
    assert reserved_bytes(service) == 3 * (SIZE - 1)
    statuses = []
    for connection in incomplete:
        connection.sendall(b" ")
        statuses.append(connection.recv(65536)[9:12])
        connection.close()
    assert statuses == [b"200", b"200", b"422"]
    wait_until(lambda: reserved_bytes(service) == 0)


def test_disconnected_client_releases_its_reservation(service: httpx.Client, example: dict[str, Any]) -> None:
    for _ in range(5):
        send_all_but_last_byte(service, "/predict", example).close()
        wait_until(lambda: reserved_bytes(service) == 0)
    assert rejected_bodies(service) == 0


def test_budget_must_hold_at_least_one_body() -> None:
    with pytest.raises(ValueError, match="less than max_body_bytes"):
        ServiceSettings(max_body_bytes=200 * 2**20)


@pytest.mark.slow
def test_memory_stays_within_the_budget_under_many_bodies_just_below_the_limit(
    packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    body = orjson.dumps([example] * 100).ljust(16 * 2**20)
    statuses: list[int] = []

    def send(url: httpx.URL) -> None:
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.Client(base_url=url, trust_env=False, timeout=120) as sender,
        ):
            statuses.append(sender.post("/predict/batch", content=body).status_code)

    with process(packaged, LIMITS__RATE="off") as (running, client):
        before = peak = resident_mib(running.pid)
        threads = [threading.Thread(target=send, args=(client.base_url,)) for _ in range(64)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert client.post("/predict", json=example).status_code == 200
            peak = max(peak, resident_mib(running.pid))
            time.sleep(0.02)
        rejected = rejected_bodies(client)
        print(f"{before:.0f} MiB, {peak:.0f} at most; {rejected:.0f} rejected; {sorted(statuses)}")
        # The budget is 128 MiB; a body is copied once when it is complete, and parsed by one thread.
        assert peak - before < 2.5 * 128
        assert rejected > 0
        assert set(statuses) <= {200, 503}
        assert 200 in statuses
        assert reserved_bytes(client) == 0
