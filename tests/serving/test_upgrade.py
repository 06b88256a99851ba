"""Who asks to change to another protocol is answered in HTTP/1.1, with all that was sent."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.settings import ServiceSettings
from serving.upgrade import without_wish
from tests import demo
from tests.conftest import wait_until_loaded
from tests.serving.loopback import served
from tests.serving.wire import H2C, Line, request


@pytest.fixture(scope="module")
def service(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest)
    with served(create_app(settings), lifespan="on") as client:
        wait_until_loaded(client)
        yield client


@pytest.mark.parametrize("path", ["/predict", "/predict?explain=true"])
@pytest.mark.parametrize("wish", [H2C, {"connection": "upgrade", "upgrade": "websocket"}, {"upgrade": "TLS/1.0"}])
def test_a_request_is_answered_as_if_it_had_not_asked(
    service: httpx.Client, example: dict[str, object], path: str, wish: dict[str, str]
) -> None:
    alone = service.post(path, json=example).json()
    with Line(service.base_url) as line:
        line.send(request(example, path, **wish))
        answer = line.answer()
        assert answer.status == 200
        assert answer.json["probabilities"] == alone["probabilities"]
        line.send(request(example, path))
        assert line.answer().status == 200, "the connection is kept"


def test_a_body_in_chunks_and_one_that_waits_for_100_continue_come_whole(
    service: httpx.Client, example: dict[str, object]
) -> None:
    body = json.dumps(example).encode()
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in H2C.items()).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" + head
    with Line(service.base_url) as line:
        line.send(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert line.answer().status == 200
        line.send(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        line.send(body)
        assert line.answer().status == 200


def test_thousands_at_once_are_answered_one_after_the_other(service: httpx.Client) -> None:
    count = 2000
    with Line(service.base_url) as line:
        line.send(request(b"", "/health/live", method="GET", **H2C) * count)
        assert {line.answer().status for _ in range(count)} == {200}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"upgrade", b"h2c"), (b"connection", b"Upgrade")], [b"connection: "]),
        ([(b"connection", b"close, UPGRADE ,x"), (b"http2-settings", b"a")], [b"connection: close, x"]),
        ([(b"connection", b"upgrade"), (b"connection", b"close")], [b"connection: ", b"connection: close"]),
        ([(b"x-a", b"1"), (b"x-a", b"upgrade")], [b"x-a: 1", b"x-a: upgrade"]),
    ],
)
def test_a_head_loses_its_wish_and_nothing_else(headers: list[tuple[bytes, bytes]], expected: list[bytes]) -> None:
    first, *lines = without_wish(b"POST", b"/a?b=c", "1.1", headers).split(b"\r\n")
    assert first == b"POST /a?b=c HTTP/1.1"
    assert lines == [*expected, b"", b""]


def test_a_refusal_names_what_is_wrong_with_the_body(service: httpx.Client, example: dict[str, Any]) -> None:
    with Line(service.base_url) as line:
        line.send(request(example | {"distance": -1}, **H2C))
        answer = line.answer()
        assert answer.status == 422
        assert "distance" in answer.body.decode()
