"""Trailers of a chunked body are not headers: nothing that a client sends after its body changes how it is treated."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from skline import api_keys
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.raw_http import RawConnection, RawResponse
from tests.fixtures.releases import ServedReleases, version_of, wait_for_release

ROW = {column.name: column.example for column in demo.contract().inputs}
BODIES = {"/predict": json.dumps(ROW).encode(), "/predict/batch": json.dumps([ROW]).encode()}
PATHS = pytest.mark.parametrize("path", BODIES)
#: The fast path takes a chunked request whose parts arrive together; in pieces it takes uvicorn's.
PIECES = pytest.mark.parametrize("in_pieces", [False, True])


def send_with_trailer(url: httpx.URL, path: str, trailer: str, *, in_pieces: bool) -> RawResponse:
    """Send a chunked request with a trailer, and return its response."""
    body = BODIES[path]
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    parts = [head, b"%x\r\n%b\r\n0\r\n" % (len(body), body), f"{trailer}\r\n\r\n".encode()]
    with RawConnection(url) as connection:
        for part in parts if in_pieces else [b"".join(parts)]:
            connection.send(part)
        return connection.read_response()


@pytest.fixture(scope="module")
def with_keys(packaged: demo.Packaged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.URL, str]]:
    """Address of a service that requires keys, and a valid key."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key = api_keys.add(file, "caller", ["predict"])[1]
    values = {"artifact": packaged.folder, "artifact_digest": packaged.digest, "security": {"key_file": file}}
    with running(create_app(ServiceSettings.model_validate(values))) as client:
        wait_until_loaded(client)
        yield client.base_url, key


@PATHS
@PIECES
@pytest.mark.parametrize("trailer", ["X-API-Key: {}", "Authorization: Bearer {}"])
def test_key_in_a_trailer_is_no_key(with_keys: tuple[httpx.URL, str], path: str, in_pieces: bool, trailer: str) -> None:
    url, key = with_keys
    response = send_with_trailer(url, path, trailer.format(key), in_pieces=in_pieces)
    assert response.status == 401


@PATHS
@PIECES
def test_request_id_in_a_trailer_is_ignored(client: httpx.Client, path: str, in_pieces: bool) -> None:
    response = send_with_trailer(client.base_url, path, "X-Request-ID: of-the-trailer", in_pieces=in_pieces)
    assert response.status == 200
    assert response.headers["x-request-id"] != "of-the-trailer"


@PATHS
@PIECES
def test_entity_in_a_trailer_is_assigned_to_no_arm(
    releases: ServedReleases, packaged: demo.Packaged, other_packaged: demo.Packaged, path: str, in_pieces: bool
) -> None:
    releases.log = releases.log.model_copy(update={"entity_column": None})
    with releases.serve() as client:
        wait_for_release(client, releases.start_experiment(other_packaged, "canary", 99.99))
        as_header = client.post(path, content=BODIES[path], headers={"x-entity-id": "b"})
        as_trailer = send_with_trailer(client.base_url, path, "X-Entity-ID: b", in_pieces=in_pieces)
    assert version_of(other_packaged) in as_header.text
    assert version_of(packaged) in as_trailer.body.decode()


@PATHS
@PIECES
def test_address_in_a_trailer_is_not_that_of_the_client(packaged: demo.Packaged, path: str, in_pieces: bool) -> None:
    security: Any = {"trusted_proxies": "127.0.0.1"}
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, security=security)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        as_header = client.post(path, content=BODIES[path], headers={"x-forwarded-for": "192.0.2.7"})
        as_trailer = send_with_trailer(client.base_url, path, "X-Forwarded-For: 192.0.2.7", in_pieces=in_pieces)
    assert (as_header.status_code, as_trailer.status) == (403, 200), "without keys only local requests are accepted"


def test_expectation_in_a_trailer_gets_no_interim_response(client: httpx.Client) -> None:
    """A body that is too large for the fast path is passed to uvicorn after its trailers have been read."""
    body = b" " * 20_000 + BODIES["/predict"]
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    with RawConnection(client.base_url) as connection:
        connection.send(head + b"%x\r\n%b\r\n0\r\nexpect: 100-continue\r\n\r\n" % (len(body), body))
        assert connection.read_line() == "HTTP/1.1 200 OK"
