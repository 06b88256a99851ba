"""`skline serve` starts with safe settings only, and serves the project's own application if there is one."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from skline import api_keys
from tests.fixtures import demo
from tests.fixtures.server import process

PROJECT_APP = """
from fastapi import APIRouter
from skline.serving.app import create_app

router = APIRouter()

@router.get("/hello")
def hello() -> str:
    return "hello"

app = create_app()
app.include_router(router)
"""


def skline(*arguments: str, cwd: Path = demo.ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {f"SKLINE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "skline.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=60)


def project(folder: Path, app: str) -> Path:
    """Create a project with this serving/app.py."""
    (folder / "serving").mkdir()
    (folder / "serving/app.py").write_text(app)
    return folder


def test_a_public_address_without_keys_is_an_error(tmp_path: Path) -> None:
    result = skline("serve", "--host", "0.0.0.0", SECURITY__KEY_FILE=str(tmp_path / "none.json"))  # noqa: S104
    assert result.returncode == 1
    assert "skline key new" in result.stderr
    assert "--no-auth" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_in_use_is_an_error_before_the_model_is_loaded() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = skline("serve", "--port", str(port))
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: the service cannot listen on 127.0.0.1:{port}: Address already in use")
    assert "--port" in line


def test_check_prints_the_effective_settings_and_masks_secrets(tmp_path: Path) -> None:
    api_keys.add(tmp_path / "keys.json", "client", ["predict"])
    content = (tmp_path / "keys.json").read_text()
    result = skline("serve", "--check", SECURITY__API_KEYS=content, LIMITS__RATE="5/second")
    assert result.returncode == 0, result.stderr
    assert "SKLINE_LIMITS__RATE = 5/second" in result.stdout
    assert re.search(r"SKLINE_SECURITY__API_KEYS = \*+\n", result.stdout)
    assert content not in result.stdout
    unsafe = skline("serve", "--check", ENVIRONMENT="production", SECURITY__KEY_FILE=str(tmp_path / "none.json"))
    assert unsafe.returncode == 1
    assert "error: production requires API keys" in unsafe.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "web"), ("LIMITS__RATE", "often"), ("FALLBACK__CHAIN", "[previous"), ("LOG__MODE", "on")],
)
def test_an_invalid_setting_is_named_in_one_line(name: str, value: str) -> None:
    result = skline("serve", "--check", **{name: value})
    assert result.returncode == 1
    assert name.split("__", maxsplit=1)[0] in result.stderr.upper()
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_invalid_option_is_named_as_it_was_given() -> None:
    result = skline("serve", "--check", "--port", "80000")
    assert result.stderr == "error: invalid settings: --port: Input should be less than or equal to 65535\n"


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_route_of_the_project_is_served_next_to_the_fast_path(
    packaged: demo.Packaged, example: dict[str, object], tmp_path: Path, workers: str
) -> None:
    folder = project(tmp_path, PROJECT_APP)
    with process(packaged, "--workers", workers, cwd=folder) as (_, client):
        assert client.get("/hello").json() == "hello"
        response = client.post("/predict", json=example)
        assert response.status_code == 200
        assert response.json()["model_version"] == f"demo@{packaged.digest[:12]}"
        assert "/hello" in client.get("/openapi.json").json()["paths"]
    result = skline("serve", "--check", cwd=folder)
    assert "application: serving/app.py" in result.stdout


def test_a_project_without_an_application_is_served_by_the_engine(
    packaged: demo.Packaged, example: dict[str, object], tmp_path: Path
) -> None:
    with process(packaged, cwd=tmp_path) as (_, client):
        assert client.post("/predict", json=example).status_code == 200
    assert "application: skline.serving.app" in skline("serve", "--check", cwd=tmp_path).stdout


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("app", "digest", "message"),
    [
        (
            f"{PROJECT_APP}\nrouter.nothing\n",
            None,
            "serving/app.py cannot be imported: AttributeError: .* \\(line 14\\)",
        ),
        ("app = (", None, "serving/app.py cannot be imported: SyntaxError: .*line 1"),
        ("app = None", None, "`app` in serving/app.py is a NoneType; it must be what create_app\\(\\) returns"),
        ("", None, "serving/app.py cannot be imported: AttributeError: .*'app'"),
        (PROJECT_APP, "0" * 64, "expected 0000"),
    ],
)
def test_an_error_in_the_projects_application_is_one_line(
    packaged: demo.Packaged, tmp_path: Path, app: str, digest: str | None, message: str, workers: str
) -> None:
    artifact = ("--artifact", str(packaged.folder), "--digest", digest or packaged.digest)
    result = skline("serve", *artifact, "--port", "0", "--workers", workers, cwd=project(tmp_path, app))
    assert result.returncode == 1
    [error] = [line for line in result.stderr.splitlines() if not line.startswith("{")]  # log lines are JSON
    assert re.match(f"error: .*{message}", error), error
