"""Requests that offer a protocol upgrade get their response in HTTP/1.1, body included."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from skline.serving.transport.upgrade import strip_upgrade_headers
from tests.conftest import wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.raw_http import H2C, RawConnection, build_request
from tests.fixtures.server import served


@pytest.fixture(scope="module")
def service(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest)
    with served(create_app(settings), lifespan="on") as client:
        wait_until_loaded(client)
        yield client


@pytest.mark.parametrize("path", ["/predict", "/predict?explain=true"])
@pytest.mark.parametrize("offer", [H2C, {"connection": "upgrade", "upgrade": "websocket"}, {"upgrade": "TLS/1.0"}])
def test_upgrade_offer_is_ignored(
    service: httpx.Client, example: dict[str, object], path: str, offer: dict[str, str]
) -> None:
    expected = service.post(path, json=example).json()
    with RawConnection(service.base_url) as connection:
        connection.send(build_request(example, path, **offer))
        response = connection.read_response()
        assert response.status == 200
        assert response.json["probabilities"] == expected["probabilities"]
        connection.send(build_request(example, path))
        assert connection.read_response().status == 200, "the connection stays open"


def test_chunked_body_and_body_after_100_continue_are_received_with_an_upgrade_offer(
    service: httpx.Client, example: dict[str, object]
) -> None:
    body = json.dumps(example).encode()
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in H2C.items()).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" + head
    with RawConnection(service.base_url) as connection:
        connection.send(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert connection.read_response().status == 200
        connection.send(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        connection.send(body)
        assert connection.read_response().status == 200


def test_thousands_of_pipelined_upgrade_offers_get_their_responses(service: httpx.Client) -> None:
    count = 2000
    with RawConnection(service.base_url) as connection:
        connection.send(build_request(b"", "/health/live", method="GET", **H2C) * count)
        assert {connection.read_response().status for _ in range(count)} == {200}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"upgrade", b"h2c"), (b"connection", b"Upgrade")], [b"connection: "]),
        ([(b"connection", b"close, UPGRADE ,x"), (b"http2-settings", b"a")], [b"connection: close, x"]),
        ([(b"connection", b"upgrade"), (b"connection", b"close")], [b"connection: ", b"connection: close"]),
        ([(b"x-a", b"1"), (b"x-a", b"upgrade")], [b"x-a: 1", b"x-a: upgrade"]),
    ],
)
def test_only_the_upgrade_offer_is_stripped_from_a_head(
    headers: list[tuple[bytes, bytes]], expected: list[bytes]
) -> None:
    first, *lines = strip_upgrade_headers(b"POST", b"/a?b=c", "1.1", headers).split(b"\r\n")
    assert first == b"POST /a?b=c HTTP/1.1"
    assert lines == [*expected, b"", b""]


def test_invalid_body_with_an_upgrade_offer_gets_422(service: httpx.Client, example: dict[str, Any]) -> None:
    with RawConnection(service.base_url) as connection:
        connection.send(build_request(example | {"distance": -1}, **H2C))
        response = connection.read_response()
        assert response.status == 422
        assert "distance" in response.body.decode()
