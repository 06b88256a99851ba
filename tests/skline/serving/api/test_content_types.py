"""A route takes JSON, or what it says it takes; a page of another site cannot send either without being recognized."""

from typing import Any

import httpx
import pytest

from tests.fixtures import demo

ROW = {column.name: column.example for column in demo.contract().inputs}
TENSORS = [
    {
        "name": column.name,
        "shape": [1],
        "datatype": "INT64" if column.kind == "integer" else "BYTES",
        "data": [column.example],
    }
    for column in demo.contract().inputs
]
BODIES: dict[str, Any] = {
    "/predict": ROW,
    "/predict?explain=false": ROW,
    "/predict/batch": [ROW],
    "/invocations": {"dataframe_records": [ROW]},
    "/v2/models/demo/infer": {"inputs": TENSORS},
    "/labels": [{"prediction_id": "x", "label": True}],
    "/review/x": {"label": True},
}
ROUTES = pytest.mark.parametrize("path", BODIES)


def post(client: httpx.Client, path: str, content_type: str | None, **headers: str) -> httpx.Response:
    """Send a valid JSON body with a content type, or without one."""
    content = httpx.Request("POST", "http://x", json=BODIES[path]).content
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=content, headers=sent | ({"content-type": content_type} if content_type else {}))


@ROUTES
@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "Application/JSON; charset=utf-8", "application/x-www-form-urlencoded"],
)
def test_json_without_content_type_or_as_curl_sends_it_is_read(
    client: httpx.Client, path: str, content_type: str | None
) -> None:
    assert post(client, path, content_type).status_code == 200


@ROUTES
@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=UTF-8", "multipart/form-data; boundary=x"])
def test_content_type_that_a_page_may_send_to_any_site_is_rejected(
    client: httpx.Client, path: str, content_type: str
) -> None:
    response = post(client, path, content_type)
    assert response.status_code == 415
    assert "send application/json" in response.json()["detail"][0]["msg"]


@ROUTES
@pytest.mark.parametrize("content_type", [None, "application/json", "application/x-www-form-urlencoded"])
def test_page_of_another_site_can_neither_read_nor_write(
    client: httpx.Client, path: str, content_type: str | None
) -> None:
    response = post(client, path, content_type, origin="https://evil.example")
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (403, ["header", "origin"])
    response = post(client, path, content_type, host="evil.example")
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (403, ["header", "host"])
    own = str(client.base_url).rstrip("/")
    assert post(client, path, content_type, origin=own).status_code == 200


@pytest.mark.parametrize(
    "path", ["/info", "/metrics", "/review", "/version", "/v2", "/v2/models/demo", "/", "/page/page.js", "/docs",
             "/openapi.json", "/nothing"],
)  # fmt: skip
def test_name_of_another_site_for_loopback_reads_nothing(client: httpx.Client, path: str) -> None:
    for name in ("host", "origin"):
        assert client.get(path, headers={name: "evil.example:8000"}).status_code == 403, name


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/ping", "/v2/health/live"])
def test_probes_are_answered_whatever_their_host(client: httpx.Client, path: str) -> None:
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_rejections_are_counted(client: httpx.Client) -> None:
    def count() -> float:
        [line] = [line for line in client.get("/metrics").text.splitlines() if 'reason="foreign"' in line]
        return float(line.split()[-1])

    before = count()
    post(client, "/labels", "application/json", origin="https://evil.example")
    assert count() == before + 1
