"""The guard admits requests of this machine, and none of another site's pages, while no key is required."""

from pathlib import Path
from typing import Any

import pytest

from skline import api_keys
from skline.serving.errors import RequestError
from skline.serving.observability.tracing import start_trace
from skline.serving.security.context import RequestContext
from skline.serving.security.guard import Guard, is_loopback
from skline.serving.settings import CorsSettings, LimitSettings, SecuritySettings

SCOPE: dict[str, Any] = {"client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 8000)}


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("", False)],  # noqa: S104
)
def test_loopback_addresses_are_recognized(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def make_guard(folder: Path, *, no_auth: bool = False, origins: tuple[str, ...] = ()) -> Guard:
    security = SecuritySettings(key_file=folder / "keys.json", no_auth=no_auth)
    return Guard(security, LimitSettings(rate=None), CorsSettings(origins=origins))


def context_of(**headers: str) -> RequestContext:
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return RequestContext(raw, start_trace(b"", b""), [], 0.0)


def rejected_header(guard: Guard, scope: dict[str, Any] | None = None, **headers: str) -> str | None:
    """Return the header for which a request is rejected; None if it is admitted."""
    try:
        guard.admit(context_of(**headers), scope or SCOPE, "label")
    except RequestError as error:
        return f"{error.status} {error.loc[1]}".removeprefix("403 ")
    return None


@pytest.mark.parametrize(
    ("headers", "rejected"),
    [
        ({"host": "localhost:8000"}, None),
        ({"host": "127.0.0.1:8000"}, None),
        ({"host": "[::1]:8000"}, None),
        ({"host": "LocalHost"}, None),
        ({}, None),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, None),
        ({"host": "localhost:8000", "origin": "https://evil.example"}, "origin"),
        ({"host": "localhost:8000", "origin": "http://localhost:3000"}, "origin"),
        ({"host": "localhost:8000", "origin": "http://localhost:8000.evil.example"}, "origin"),
        ({"host": "localhost:8000", "origin": "null"}, "origin"),
        ({"origin": "https://evil.example"}, "origin"),
        ({"origin": "null"}, "origin"),
        ({"host": "", "origin": "null"}, "origin"),
        ({"host": "evil.example:8000"}, "host"),
        ({"host": "evil.example:8000", "origin": "http://evil.example:8000"}, "host"),
        ({"host": "127.0.0.1.evil.example"}, "host"),
        ({"host": "[::1].evil.example"}, "host"),
        ({"host": "localhost.evil.example"}, "host"),
        ({"host": "0.0.0.0:8000"}, "host"),
        ({"host": ":8000"}, "host"),
        ({"host": "a" * 100_000}, "host"),
    ],
)
def test_foreign_origin_and_host_are_rejected_while_no_key_is_required(
    tmp_path: Path, headers: dict[str, str], rejected: str | None
) -> None:
    guard = make_guard(tmp_path)
    assert rejected_header(guard, **headers) == rejected
    assert guard.foreign == (rejected is not None)


def test_sites_of_the_settings_are_admitted(tmp_path: Path) -> None:
    app = "https://app.example"
    guard = make_guard(tmp_path, origins=(app,))
    assert rejected_header(guard, host="localhost", origin=app) is None
    assert rejected_header(guard, host="localhost", origin="https://app.example.evil") == "origin"
    assert rejected_header(guard, host="app.example", origin=app) == "host", "DNS rebinding by an admitted site"
    assert rejected_header(make_guard(tmp_path, origins=("*",)), host="localhost", origin="https://a.example") is None


def test_no_auth_admits_every_site(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, no_auth=True)
    assert rejected_header(guard, host="model.example", origin="https://app.example") is None
    guard.check_public(context_of(host="model.example"), SCOPE)


def test_a_key_is_enough_from_every_site(tmp_path: Path) -> None:
    key = api_keys.add(tmp_path / "keys.json", "caller", ["label"])[1]
    guard = make_guard(tmp_path)
    assert rejected_header(guard, host="model.example", origin="https://app.example", x_api_key=key) is None
    guard.check_public(context_of(host="model.example"), SCOPE)


def test_requests_over_a_socket_file_may_name_any_host(tmp_path: Path) -> None:
    scope = {"client": None, "server": ("/run/model.sock", None)}
    assert rejected_header(make_guard(tmp_path), scope, host="model") is None
    assert rejected_header(make_guard(tmp_path), scope, host="model", origin="https://evil.example") == "origin"
