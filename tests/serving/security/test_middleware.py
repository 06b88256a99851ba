"""A small application behind the guard, on a real server: keys, rates, headers, CORS, logs."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline

from serving.security.guard import Guard, is_loopback
from serving.security.limits import Slots
from serving.security.logs import JsonLines
from serving.security.middleware import Guarded
from serving.security.permissions import Permissions
from serving.security.settings import CorsSettings, LimitSettings, LoggingSettings, SecuritySettings
from skline import keys
from tests.serving.loopback import served

SITE = "https://app.example"


def application() -> FastAPI:
    app = FastAPIOffline(redoc_url=None)

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, str]:
        return {"caller": request.state.visit.caller.name}

    @app.get("/labels")
    async def labels() -> None: ...

    @app.get("/health/live")
    async def live() -> None: ...

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response("up 1\n", media_type="text/plain", headers={"cache-control": "max-age=5"})

    @app.get("/info")
    async def fails() -> None:
        raise ValueError("the patient's name")

    return app


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def go(**sections: Any) -> httpx.Client:
            security = SecuritySettings(**({"key_file": tmp_path / "keys.json"} | sections.get("security", {})))
            limits = LimitSettings(**({"rate": "1000/minute"} | sections.get("limits", {})))
            guard = Guard(security, limits, CorsSettings(**sections.get("cors", {})), LoggingSettings(requests="all"))
            permissions = Permissions(security, development=sections.get("development", True))
            app = Guarded(application(), guard, permissions, Slots(limits), tls=security.tls)
            around = sections.get("around", lambda inner: inner)
            return stack.enter_context(served(around(app), log_config=None, server_header=False))

        yield go


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    return {name: keys.add(tmp_path / "keys.json", name, [name])[1] for name in keys.SCOPES}


def test_every_path_wants_its_scope_and_what_nobody_thought_of_wants_admin(start: Any, token: dict[str, str]) -> None:
    client = start()
    for method, path, scope in (
        ("POST", "/predict", "predict"), ("GET", "/labels", "label"), ("GET", "/metrics", "admin"),
        ("GET", "/nothing/here", "admin"), ("GET", "/predictions", "admin"),
    ):  # fmt: skip
        assert client.request(method, path).status_code == 401
        for name, key in token.items():
            status = client.request(method, path, headers={"x-api-key": key}).status_code
            assert status in ({200, 404} if name == scope else {403})
    assert client.get("/health/live").status_code == 200
    answer = client.post("/predict", headers={"authorization": f"Bearer {token['predict']}"})
    assert answer.json() == {"caller": "predict"}


def test_a_refusal_has_the_form_of_all_errors_and_all_headers(start: Any, token: dict[str, str]) -> None:
    answer = start().post("/predict", headers={"x-request-id": "abc-1"})
    assert answer.json() == {
        "detail": [
            {
                "loc": ["header", "authorization"],
                "msg": "a valid API key is needed; send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`",
                "type": "unauthorized",
            }
        ]
    }
    assert answer.headers["www-authenticate"] == 'Bearer realm="skline"'
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def test_headers_of_the_application_stay_and_hsts_comes_with_tls(start: Any) -> None:
    answer = start(security={"tls": True}).get("/metrics")
    assert answer.headers.get_list("cache-control") == ["max-age=5"]
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


def test_rates_count_keys_and_tell_when_to_come_again(start: Any, token: dict[str, str], tmp_path: Path) -> None:
    _, other = keys.add(tmp_path / "keys.json", "other", ["predict"])
    client = start(limits={"rate": "3/hour"})
    statuses = [client.post("/predict", headers={"x-api-key": token["predict"]}).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert client.post("/predict", headers={"x-api-key": other}).status_code == 200
    refused = client.post("/predict", headers={"x-api-key": token["predict"]})
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert client.get("/health/live").status_code == 200


def test_documentation_needs_a_key_in_production(start: Any, token: dict[str, str]) -> None:
    client = start(development=False)
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 401
    assert client.get("/docs", headers={"x-api-key": token["admin"]}).status_code == 200
    assert start(development=False, security={"docs": True}).get("/docs").status_code == 200


def test_the_scripts_of_the_documentation_are_allowed_by_their_hashes(start: Any) -> None:
    answer = start().get("/docs")
    policy = answer.headers["content-security-policy"]
    inline = re.findall(r"<script>", answer.text)
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
def test_other_sites_are_let_in_as_configured(start: Any, token: Any, cors: Any, origin: str, allowed: Any) -> None:
    client = start(cors=cors)
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    preflight = client.options("/predict", headers=asked)
    assert preflight.headers.get("access-control-allow-origin") == allowed
    assert (preflight.status_code == 200) is (allowed is not None)
    for headers in ({"origin": origin}, {"origin": origin, "x-api-key": token["predict"]}):
        answer = client.post("/predict", headers=headers)
        assert answer.headers.get_list("access-control-allow-origin") == ([allowed] if allowed else [])
        credentials = answer.headers.get("access-control-allow-credentials")
        assert credentials == ("true" if cors.get("credentials") else None)
        assert ("Origin" in answer.headers.get("vary", "")) is bool(cors)
    assert "access-control-allow-origin" not in client.post("/predict").headers


def test_without_keys_only_this_machine_is_answered(start: Any) -> None:
    def seen_from_outside(app: Any) -> Any:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "client": ("192.0.2.1", 1)}, receive, send)

        return outside

    assert start().post("/predict").json() == {"caller": "anybody"}
    refused = start(around=seen_from_outside).post("/predict")
    assert (refused.status_code, "--no-auth" in refused.text) == (403, True)
    assert start(around=seen_from_outside, security={"no_auth": True}).post("/predict").status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("", False)],  # noqa: S104
)
def test_what_counts_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_trace_is_answered_and_every_request_logged_once(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(JsonLines())
    client = start()
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with caplog.at_level(logging.INFO):
        answer = client.post("/predict?name=patient", headers={"traceparent": parent, "x-request-id": "r-1"})
        assert client.get("/nope").status_code == 404
        assert client.get("/info").status_code == 500
    lines = [caplog.handler.format(record) for record in caplog.records if record.name != "httpx"]
    assert answer.headers["traceresponse"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert "patient" not in "".join(lines)
    told = [line for line in map(json.loads, lines) if line["logger"] == "skline.requests"]
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/predict", 200), ("GET", "/nope", 404), ("GET", "/info", 500),
    ]  # fmt: skip
    assert told[0]["request_id"] == "r-1"
    assert told[0]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_requests_at_the_same_time_keep_their_own_ids(start: Any) -> None:
    client = start()
    wrong: list[str] = []

    def ask(worker: int) -> None:
        for number in range(30):
            sent = f"{worker}-{number}"
            if client.post("/predict", headers={"x-request-id": sent}).headers["x-request-id"] != sent:
                wrong.append(sent)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
