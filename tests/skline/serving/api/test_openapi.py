"""The OpenAPI schema says what is in force: API keys where they are required, and the shapes of errors."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from skline import api_keys
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running
from tests.fixtures import demo
from tests.fixtures.clients import wait_until


def operations(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all operations by method and path."""
    return {
        f"{method} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_without_keys_no_security_is_declared(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()
    assert "securitySchemes" not in schema["components"]
    for operation in operations(schema).values():
        assert "security" not in operation
        assert "401" not in operation["responses"]


def test_the_schema_declares_keys_from_the_first_one_on(packaged: demo.Packaged, tmp_path: Path) -> None:
    settings = {"artifact": packaged.folder, "artifact_digest": packaged.digest}
    file = tmp_path / "keys.json"
    app = create_app(ServiceSettings.model_validate(settings | {"security": {"key_file": file}}))
    with running(app) as client:
        assert "securitySchemes" not in client.get("/openapi.json").json()["components"]
        api_keys.add(file, "a", ["predict"])
        wait_until(lambda: client.get("/info").status_code == 401)
        schema = client.get("/openapi.json").json()
        file.unlink()
    assert schema["components"]["securitySchemes"].keys() == {"bearer", "header"}
    required = {name for name, operation in operations(schema).items() if "security" in operation}
    assert required == {name for name, operation in operations(schema).items() if "401" in operation["responses"]}
    assert "post /predict" in required
    assert "get /health/live" not in required


def test_no_auth_declares_no_security(packaged: demo.Packaged) -> None:
    settings = {"artifact": packaged.folder, "artifact_digest": packaged.digest, "security": {"no_auth": True}}
    schema = create_app(ServiceSettings.model_validate(settings)).app.openapi()
    assert '"security' not in json.dumps(schema)


def test_version_is_that_of_the_model_in_service(packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"artifact": packaged.folder, "artifact_digest": packaged.digest, "security": {"no_auth": True}}
    app = create_app(ServiceSettings.model_validate(settings)).app
    models = app.state.container.models
    assert app.openapi()["info"]["version"] == models.artifact.version
    newer = SimpleNamespace(version="flights@0123456789ab")
    monkeypatch.setattr(type(models), "artifact", property(lambda _: newer))
    assert app.openapi()["info"]["version"] == newer.version


def test_errors_below_v2_have_another_shape_than_all_others(client: httpx.Client) -> None:
    for name, operation in operations(client.get("/openapi.json").json()).items():
        expected = "V2ErrorResponse" if " /v2" in name else "ErrorResponse"
        for status, response in operation["responses"].items():
            if status in ("401", "403", "404", "408", "413", "415", "422", "429"):
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{expected}"}, (name, status)


def test_the_bounds_of_a_date_stand_in_the_schema_as_a_pattern(client: httpx.Client) -> None:
    post = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    date = post["requestBody"]["content"]["application/json"]["schema"]["properties"]["flight_date"]
    assert (date["type"], date["format"], date["formatMinimum"]) == ("string", "date", "2013-01-01")
    assert date["pattern"].startswith("^(")
