"""Behind a proxy the service works under a path prefix, of a setting or a trusted header, with the same scopes."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from pydantic import ValidationError

from skline.serving.app import create_app
from skline.serving.server.startup_checks import uvicorn_options
from skline.serving.settings import ServiceSettings
from skline.serving.transport.proxies import path_of, place_below
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo

Start = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def start(packaged: demo.Packaged) -> Iterator[Start]:
    """Start a service; it is stopped after the module's tests."""
    with ExitStack() as stack:

        def start(**settings: Any) -> httpx.Client:
            values = {"artifact": packaged.folder, "artifact_digest": packaged.digest} | settings
            client = stack.enter_context(running(create_app(ServiceSettings.model_validate(values))))
            wait_until_loaded(client)
            return client

        yield start


@pytest.fixture(scope="module")
def below_ml(start: Start) -> httpx.Client:
    return start(root_path="/ml")


@pytest.fixture(scope="module")
def trusting(start: Start) -> httpx.Client:
    return start(security={"trusted_proxies": "127.0.0.1"})


PREFIX_HEADER = {"x-forwarded-prefix": "/ml"}


def check_links(client: httpx.Client, headers: dict[str, str]) -> None:
    """Check that /docs and the page link to addresses under /ml only, and that the proxied service has them."""
    docs = client.get("/docs", headers=headers).text
    links = {*re.findall(r'(?:src|href)="([^"]+)"', docs), *re.findall(r"url: '([^']+)'", docs)}
    page = client.get("/", headers=headers).text
    links |= {urljoin("/ml/", link) for link in re.findall(r'(?:src|href)="([^"#][^"]*)"', page)}
    assert len(links) > 5
    for link in links:
        assert link.startswith("/ml/"), link
        assert client.get(link.removeprefix("/ml"), headers=headers).status_code == 200
    assert client.get("/openapi.json", headers=headers).json()["servers"] == [{"url": "/ml"}]


def test_docs_page_and_schema_work_below_the_prefix_of_the_setting(below_ml: httpx.Client) -> None:
    check_links(below_ml, {})


def test_docs_page_and_schema_work_below_the_prefix_of_a_trusted_proxy(trusting: httpx.Client) -> None:
    check_links(trusting, PREFIX_HEADER)


def test_without_a_prefix_the_schema_names_no_server(client: httpx.Client) -> None:
    assert "servers" not in client.get("/openapi.json").json()


def test_a_proxy_may_leave_the_prefix_in_the_path(below_ml: httpx.Client, example: dict[str, Any]) -> None:
    for path in ("/predict", "/ml/predict"):
        assert below_ml.post(path, json=example).status_code == 200
    assert below_ml.post("/ml/predict/batch", json=[example]).status_code == 200
    assert below_ml.get("/ml/health/ready").json()["ready"] is True
    assert below_ml.get("/ml/").status_code == 200
    assert below_ml.get("/ml/v2/nothing").json().keys() == {"error", "detail"}
    assert below_ml.get("/mlpredict").status_code == 404
    routes = set(re.findall(r'route="([^"]*)"', below_ml.get("/metrics").text))
    assert not any(route.startswith("/ml") for route in routes)


@pytest.mark.parametrize(
    "value", ["//evil.example", "/a/../b", "ml", "/m l", "/ml?x", '/"><script>', "", "/", "https://a"]
)
def test_a_prefix_that_is_no_path_is_ignored(trusting: httpx.Client, value: str) -> None:
    assert "servers" not in trusting.get("/openapi.json", headers={"x-forwarded-prefix": value}).json()


def test_other_senders_cannot_set_a_prefix(client: httpx.Client, start: Start) -> None:
    distant = start(security={"trusted_proxies": "192.0.2.1"})
    for service in (client, distant):
        assert "servers" not in service.get("/openapi.json", headers=PREFIX_HEADER).json()


def test_a_trusted_proxy_names_the_clients_address(start: Start, example: dict[str, Any]) -> None:
    limited = start(security={"trusted_proxies": "127.0.0.1", "no_auth": True}, limits={"rate": "2/hour"})
    for address, statuses in (("192.0.2.1", [200, 200, 429]), ("192.0.2.2", [200])):
        for status in statuses:
            response = limited.post("/predict", json=example, headers={"x-forwarded-for": address})
            assert response.status_code == status


def test_a_prefix_never_changes_the_scope_that_a_path_requires(start: Start) -> None:
    keys = '{"format": 1, "keys": []}'
    closed = start(security={"api_keys": keys, "trusted_proxies": "127.0.0.1"}, root_path="/docs")
    for prefix in ("/docs", "/page", "/ping", "/health/live"):
        for path in ("/metrics", f"{prefix}/metrics", f"{prefix}{prefix}/metrics", f"{prefix}/../metrics"):
            request = closed.build_request("GET", path)
            request.url = request.url.copy_with(raw_path=path.encode())
            for headers in ({}, {"x-forwarded-prefix": prefix}):
                request.headers.update(headers)
                assert closed.send(request).status_code in (401, 404), (prefix, path, headers)


@pytest.mark.parametrize("value", ["ml", "/ml/", "//ml", "/", "/ä", "/a/..", "http://a/ml"])
def test_a_root_path_that_is_no_path_is_rejected(value: str) -> None:
    with pytest.raises(ValidationError, match="write it as /ml"):
        ServiceSettings(root_path=value)


def test_a_request_with_a_prefix_of_its_server_keeps_it() -> None:
    scope = {"path": "/server/predict", "root_path": "/server"}
    place_below(scope, "/ml")
    assert (scope["root_path"], path_of(scope)) == ("/server", "/predict")


def test_connections_stay_open_longer_than_proxies_keep_them() -> None:
    assert uvicorn_options(ServiceSettings())["timeout_keep_alive"] == 75
    settings = ServiceSettings.model_validate({"limits": {"keep_alive_seconds": 620}})
    assert uvicorn_options(settings)["timeout_keep_alive"] == 620
