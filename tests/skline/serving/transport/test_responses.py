"""Every error has one shape, HEAD answers wherever GET does, nothing redirects, and `identity` is no coding."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, HTTPException

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo

#: Paths that answer GET, on a service without keys.
READABLE = (
    "/", "/docs", "/openapi.json", "/page/page.js", "/static-offline-docs/swagger-ui.css", "/health", "/health/live",
    "/health/ready", "/ping", "/version", "/info", "/metrics", "/review", "/v2", "/v2/health/live", "/v2/health/ready",
    "/v2/models/demo", "/v2/models/demo/ready",
)  # fmt: skip
#: Response headers that differ between two requests.
VARYING = ("date", "x-request-id", "traceresponse", "content-length")


@pytest.fixture(scope="module")
def own_routes(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    """A service with routes of the project's own, which raise FastAPI's exceptions."""
    app = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    router = APIRouter(prefix="/page/own")

    @router.get("/text")
    def text() -> None:
        raise HTTPException(409, "the order is closed", {"x-order": "7"})

    @router.get("/structure")
    def structure() -> None:
        raise HTTPException(409, {"order": 7})

    app.include_router(router)
    with running(app) as client:
        wait_until_loaded(client)
        yield client


def check_shape(response: httpx.Response) -> dict[str, Any]:
    """Return the one error of a response, after checking its shape."""
    assert response.headers["content-type"] == "application/json"
    [detail] = response.json()["detail"]
    assert detail.keys() == {"loc", "msg", "type"}
    assert isinstance(detail["loc"], list)
    return dict(detail)


def test_an_unknown_path_gets_the_shape_of_all_errors(client: httpx.Client) -> None:
    for path in ("/nothing", "/predict/", "/page/nothing.js", "/static-offline-docs/nothing.js"):
        for method in ("GET", "POST"):
            response = client.request(method, path)
            assert response.status_code == (
                405 if (method, path[:6]) in (("POST", "/page/"), ("POST", "/stati")) else 404
            )
            check_shape(response)
    assert check_shape(client.get("/nothing"))["type"] == "not_found"


def test_a_method_that_a_path_lacks_gets_the_shape_of_all_errors(client: httpx.Client) -> None:
    response = client.put("/predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert check_shape(response) == {
        "loc": ["method"],
        "msg": "this path does not support the method PUT; use POST",
        "type": "method_not_allowed",
    }


def test_exceptions_of_the_projects_own_routes_keep_their_headers_and_get_the_shape(own_routes: httpx.Client) -> None:
    response = own_routes.get("/page/own/text")
    assert (response.status_code, response.headers["x-order"]) == (409, "7")
    assert check_shape(response)["msg"] == "the order is closed"
    assert own_routes.get("/page/own/structure").json() == {"detail": {"order": 7}}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404), ("POST", "/v2/repository/index", 404), ("GET", "/v2/models/demo/config", 404),
        ("GET", "/v2/models/demo/stats", 404), ("GET", "/v2/models/stats", 404),
        ("GET", "/v2/systemsharedmemory/status", 404), ("GET", "/v2/", 404), ("DELETE", "/v2", 405),
        ("GET", "/v2/models/demo/infer", 405), ("GET", "/v2/models/other", 404), ("POST", "/v2/models/demo/infer", 422),
    ],
)  # fmt: skip
def test_every_error_below_v2_has_the_protocols_error(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert check_shape(response)["msg"] in response.json()["error"]


def test_errors_of_the_guard_and_of_the_service_itself_below_v2_have_the_protocols_error(
    packaged: demo.Packaged, example: dict[str, Any], tmp_path: Any
) -> None:
    keys = '{"format": 1, "keys": []}'
    settings = ServiceSettings.model_validate(
        {"artifact": packaged.folder, "artifact_digest": packaged.digest, "security": {"api_keys": keys}}
    )
    with running(create_app(settings)) as client:
        for path in ("/v2/models/demo", "/v2/nothing"):
            response = client.get(path)
            assert response.status_code == 401
            assert check_shape(response)["msg"] in response.json()["error"]
        assert "error" not in client.get("/info").json()
    service = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(service) as client:
        wait_until_loaded(client)
        service.app.state.container.parser.validate_rows = None
        tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": ["a"]} for name in example]
        response = client.post("/v2/models/demo/infer", json={"inputs": tensors})
    assert response.status_code == 500
    assert "its log says why" in response.json()["error"]


def test_head_has_the_status_and_headers_of_get_and_no_body(client: httpx.Client) -> None:
    for path in READABLE:
        got, head = client.get(path), client.head(path)
        assert head.content == b""
        assert head.status_code == got.status_code == 200, path
        left, right = ({k: v for k, v in r.headers.items() if k not in VARYING} for r in (got, head))
        assert left == right, path
        assert got.headers.keys() == head.headers.keys(), path
    assert client.head("/nothing").status_code == 404
    assert client.head("/predict").status_code == 405


def test_a_head_request_is_counted_by_its_route(client: httpx.Client) -> None:
    client.head("/v2/models/demo/ready")
    assert 'route="/v2/models/{name}/ready"' in client.get("/metrics").text


def test_no_path_redirects(client: httpx.Client) -> None:
    for path in ("/predict/", "/predict/batch/", "/info/", "/docs/", "/health/ready/", "/v2/models/demo/", "/page"):
        for method in ("GET", "POST", "HEAD"):
            headers = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
            response = client.request(method, path, headers=headers)
            assert response.status_code in (404, 405), (method, path)
            assert "location" not in response.headers
            assert "evil.example" not in response.text


@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY", "", ",", "identity, Identity"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations"])
def test_identity_in_any_case_and_no_coding_are_plain(
    client: httpx.Client, example: dict[str, Any], coding: str, path: str
) -> None:
    body: Any = {"/predict": example, "/predict/batch": [example]}.get(path, {"instances": [example]})
    assert client.post(path, json=body, headers={"content-encoding": coding}).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "br"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations", "/v2/models/demo/infer", "/labels"])
def test_a_compressed_body_is_refused(client: httpx.Client, coding: str, path: str) -> None:
    response = client.post(path, content=b"x", headers={"content-encoding": coding})
    assert response.status_code == 415
    assert "send the body uncompressed" in check_shape(response)["msg"]


def test_a_head_request_without_a_body_leaves_the_connection_usable(client: httpx.Client) -> None:
    address = client.base_url.host, client.base_url.port or 0
    with socket.create_connection(address, timeout=5) as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(b"HEAD /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while stream.readline() != b"\r\n":
                pass
