"""Keys, rates, headers, CORS, logs and metrics of a small application, on a real server."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import generate_latest

from skline import api_keys
from skline.serving.observability.logging import JsonFormatter
from skline.serving.observability.metrics import Metrics
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.security.guard import Guard
from skline.serving.security.scopes import Permissions
from skline.serving.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings, ServiceSettings
from skline.serving.transport import responses
from skline.serving.transport.body import read_body
from skline.serving.transport.body_budget import BodyBudget
from skline.serving.transport.dispatch import Dispatcher
from skline.serving.transport.lifecycle import RequestLifecycle
from skline.serving.transport.responses import JSONBytesResponse
from tests.fixtures.clients import wait_until
from tests.fixtures.server import served

SITE = "https://app.example"


class Container:
    """The one part of the service that `read_body` needs."""

    body_budget = BodyBudget(2**20)


def application() -> FastAPI:
    app = FastAPIOffline(redoc_url=None)
    app.state.container = Container()
    responses.install_error_handlers(app)

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, str]:
        return {"caller": request.state.context.caller.name}

    @app.get("/labels")
    async def labels() -> None: ...

    @app.post("/labels")
    async def upload(request: Request) -> int:
        return len(await read_body(request, 1000, 30))

    @app.get("/health/live")
    async def live() -> None: ...

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response("up 1\n", media_type="text/plain", headers={"cache-control": "max-age=5"})

    @app.get("/info/{name}")
    async def fails(name: str) -> None:
        raise ValueError("the patient's name")

    @app.get("/info")
    async def breaks_off() -> Response:
        def body() -> Iterator[bytes]:
            yield b"the first part"
            raise ValueError("the patient's name")

        return StreamingResponse(body())

    return app


def fast_routes() -> APIRouter:
    router = APIRouter()

    @router.post("/predict/fast")
    async def predict_fast(request: Request) -> Response:
        return JSONBytesResponse(json.dumps({"caller": request.state.context.caller.name}).encode())

    @router.get("/info/fast/failing")
    async def fails_fast(request: Request) -> Response:
        raise ValueError("the patient's name")

    return router


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(tmp_path: Path, metrics: Metrics) -> Iterator[Any]:
    with ExitStack() as stack:

        def go(**sections: Any) -> httpx.Client:
            security = SecuritySettings(**({"key_file": tmp_path / "keys.json"} | sections.get("security", {})))
            limits = LimitSettings(**({"rate": "1000/minute"} | sections.get("limits", {})))
            settings = ServiceSettings(
                security=security,
                limits=limits,
                cors=CorsSettings(**sections.get("cors", {})),
                logging=LoggingSettings(requests="all"),
            )
            app = Dispatcher(
                application(),
                RequestLifecycle(settings, Guard(security, limits, settings.cors), metrics),
                Permissions(security, development=sections.get("development", True)),
                ConcurrencyLimiter(64, 256, limits.wait_seconds, limits.request_seconds),
                security,
            )
            app.include_fast_routes(fast_routes())
            wrap = sections.get("wrap", lambda inner: inner)
            return stack.enter_context(served(wrap(app), log_config=None, server_header=False))

        yield go


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    return {name: api_keys.add(tmp_path / "keys.json", name, [name])[1] for name in api_keys.SCOPES}


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """A function that returns the log lines so far, as JSON objects."""
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level(logging.INFO):
        yield lambda: [json.loads(caplog.handler.format(record)) for record in caplog.records if record.name != "httpx"]


def requests_counted(metrics: Metrics) -> dict[tuple[str, str], int]:
    """Return how many requests the metrics have, by route and status."""
    pattern = re.compile(
        r'^skline_request_duration_seconds_count\{route="(.*)",scoring_path="none",status="(.*)"\} (.*)$', re.MULTILINE
    )
    text = generate_latest(metrics.registry).decode()
    return {(route, status): int(float(count)) for route, status, count in pattern.findall(text)}


def test_every_path_requires_its_scope_and_unlisted_paths_require_admin(start: Any, token: dict[str, str]) -> None:
    client = start()
    for method, path, scope in (
        ("POST", "/predict", "predict"), ("GET", "/labels", "label"), ("GET", "/metrics", "admin"),
        ("GET", "/nothing/here", "admin"), ("GET", "/predictions", "admin"), ("POST", "/predict/fast", "predict"),
    ):  # fmt: skip
        assert client.request(method, path).status_code == 401
        for name, key in token.items():
            status = client.request(method, path, headers={"x-api-key": key}).status_code
            assert status in ({200, 404} if name == scope else {403})
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/predict/fast"])
def test_a_route_sees_the_caller(start: Any, token: dict[str, str], path: str) -> None:
    response = start().post(path, headers={"authorization": f"Bearer {token['predict']}"})
    assert response.json() == {"caller": "predict"}


@pytest.mark.parametrize("path", ["/predict", "/predict/fast"])
def test_a_rejection_has_the_form_of_all_errors_and_all_headers(start: Any, token: dict[str, str], path: str) -> None:
    response = start().post(path, headers={"x-request-id": "abc-1"})
    assert response.json() == {
        "detail": [
            {
                "loc": ["header", "authorization"],
                "msg": "a valid API key is required; send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`",
                "type": "unauthorized",
            }
        ]
    }
    assert response.headers["www-authenticate"] == 'Bearer realm="skline"'
    assert response.headers["x-request-id"] == "abc-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "server" not in response.headers
    assert "strict-transport-security" not in response.headers


def test_headers_of_the_application_are_kept_and_hsts_is_sent_with_tls(start: Any) -> None:
    response = start(security={"tls": True}).get("/metrics")
    assert response.headers.get_list("cache-control") == ["max-age=5"]
    assert response.headers["strict-transport-security"].startswith("max-age=31536000")


def test_rates_are_counted_per_key_and_a_429_has_retry_after(start: Any, token: dict[str, str], tmp_path: Path) -> None:
    _, other = api_keys.add(tmp_path / "keys.json", "other", ["predict"])
    client = start(limits={"rate": "3/hour"})
    statuses = [client.post("/predict", headers={"x-api-key": token["predict"]}).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert client.post("/predict", headers={"x-api-key": other}).status_code == 200
    rejection = client.post("/predict/fast", headers={"x-api-key": token["predict"]})
    assert rejection.status_code == 429
    assert 1 <= int(rejection.headers["retry-after"]) <= 3600
    assert client.get("/health/live").status_code == 200


def test_documentation_requires_a_key_in_production(start: Any, token: dict[str, str]) -> None:
    client = start(development=False)
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 401
    assert client.get("/docs", headers={"x-api-key": token["admin"]}).status_code == 200
    assert start(development=False, security={"docs": True}).get("/docs").status_code == 200


def test_inline_scripts_of_the_documentation_are_allowed_by_their_hashes(start: Any) -> None:
    response = start().get("/docs")
    policy = response.headers["content-security-policy"]
    inline = re.findall(r"<script>", response.text)
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == len(inline) == 1
    assert "script-src 'self' 'sha256-" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("cors", "origin", "allowed"),
    [
        ({}, SITE, None),
        ({"origins": (SITE,)}, SITE, SITE),
        ({"origins": (SITE,)}, "https://app.example.evil", None),
        ({"origins": ("*",)}, SITE, "*"),
        ({"origins": (SITE,), "credentials": True}, SITE, SITE),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/fast"])
def test_other_sites_are_allowed_as_configured(
    start: Any, token: Any, cors: Any, origin: str, allowed: Any, path: str
) -> None:
    client = start(cors=cors)
    preflight_headers = {
        "origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"
    }  # fmt: skip
    preflight = client.options(path, headers=preflight_headers)
    assert preflight.headers.get_list("access-control-allow-origin") == ([allowed] if allowed else [])
    assert (preflight.status_code == 200) is (allowed is not None)
    for headers in ({"origin": origin}, {"origin": origin, "x-api-key": token["predict"]}):
        response = client.post(path, headers=headers)
        assert response.headers.get_list("access-control-allow-origin") == ([allowed] if allowed else [])
        credentials = response.headers.get("access-control-allow-credentials")
        assert credentials == ("true" if cors.get("credentials") else None)
        assert ("Origin" in response.headers.get("vary", "")) is bool(cors)
    assert "access-control-allow-origin" not in client.post(path).headers


def test_a_preflight_request_is_logged_with_its_status(start: Any, metrics: Metrics, log_lines: Any) -> None:
    headers = {"origin": SITE, "access-control-request-method": "POST"}
    assert start(cors={"origins": (SITE,)}).options("/predict", headers=headers).status_code == 200
    wait_until(lambda: requests_counted(metrics))  # a request is recorded after its response is sent
    assert [line["status"] for line in log_lines() if line["logger"] == "skline.requests"] == [200]
    assert requests_counted(metrics) == {("other", "200"): 1}


def test_without_keys_only_local_requests_are_accepted(start: Any) -> None:
    def from_another_machine(app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": ("192.0.2.1", 1)}, receive, send)

        return wrapped

    assert start().post("/predict").json() == {"caller": "anybody"}
    rejection = start(wrap=from_another_machine).post("/predict")
    assert (rejection.status_code, "--no-auth" in rejection.text) == (403, True)
    assert start(wrap=from_another_machine, security={"no_auth": True}).post("/predict").status_code == 200


def test_a_trace_is_continued_and_every_request_is_logged_once(start: Any, metrics: Metrics, log_lines: Any) -> None:
    client = start()
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    response = client.post("/predict?name=patient", headers={"traceparent": parent, "x-request-id": "r-1"})
    assert client.get("/nope").status_code == 404
    assert client.get("/info/7").status_code == 500
    assert client.post("/predict/fast").status_code == 200
    assert client.get("/info/fast/failing").status_code == 500
    assert response.headers["traceresponse"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    wait_until(lambda: len(requests_counted(metrics)) == 5)  # a request is recorded after its response is sent
    lines = log_lines()
    assert "patient" not in json.dumps(lines)
    access = [line for line in lines if line["logger"] == "skline.requests"]
    assert [(line["method"], line["route"], line["status"]) for line in access] == [
        ("POST", "/predict", 200), ("GET", "/nope", 404), ("GET", "/info/7", 500),
        ("POST", "/predict/fast", 200), ("GET", "/info/fast/failing", 500),
    ]  # fmt: skip
    assert access[0]["request_id"] == "r-1"
    assert access[0]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert requests_counted(metrics) == {
        ("/predict", "200"): 1, ("other", "404"): 1, ("/info/{name}", "500"): 1,
        ("/predict/fast", "200"): 1, ("/info/fast/failing", "500"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/info/7", "/info/fast/failing"])
def test_an_unexpected_error_is_a_json_500_and_logged_once(start: Any, log_lines: Any, path: str) -> None:
    response = start().get(path, headers={"x-request-id": "r-1"})
    assert response.status_code == 500
    assert response.json()["detail"][0]["type"] == "server_error"
    assert "patient" not in response.text
    assert response.headers["x-request-id"] == "r-1"
    failures = [line for line in log_lines() if "exception" in line]
    assert [(line["message"], line["exception"]["type"]) for line in failures] == [(f"GET {path} failed", "ValueError")]


def test_the_connection_is_closed_if_a_response_breaks_off(start: Any, metrics: Metrics) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        start().get("/info")
    wait_until(lambda: requests_counted(metrics))
    assert requests_counted(metrics) == {("/info", "500"): 1}


def test_a_client_that_disconnects_is_logged_as_499(start: Any, metrics: Metrics, log_lines: Any) -> None:
    client = start()
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        connection.sendall(b"POST /labels HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nthe first part")
        time.sleep(0.2)
    wait_until(lambda: requests_counted(metrics))
    assert requests_counted(metrics) == {("/labels", "499"): 1}
    assert not [line for line in log_lines() if "exception" in line]


def test_concurrent_requests_keep_their_own_ids(start: Any) -> None:
    client = start()
    wrong: list[str] = []

    def send_requests(worker: int) -> None:
        for number in range(30):
            request_id = f"{worker}-{number}"
            response = client.post("/predict", headers={"x-request-id": request_id})
            if response.headers["x-request-id"] != request_id:
                wrong.append(request_id)

    threads = [threading.Thread(target=send_requests, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
