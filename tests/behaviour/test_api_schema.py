"""The whole API against its own OpenAPI schema with all checks of schemathesis, with an API key and without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skline import api_keys
from tests.fixtures import demo
from tests.fixtures.server import process

HERE = Path(__file__).parent


def schemathesis(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis with its files in `folder`; the report names each failed request and how to repeat it."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml")]
    command += ["run", f"{url}/openapi.json", "--continue-on-failure", "--no-color", *arguments]
    hooks = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=570, cwd=folder, env=hooks)


@pytest.mark.slow
def test_every_response_conforms_to_the_openapi_schema(packaged: demo.Packaged, tmp_path: Path) -> None:
    """No 5xx, no undocumented status or body; API keys are required exactly where the schema declares them."""
    _, key = api_keys.add(tmp_path / "keys.json", "all", ["predict", "label", "admin"])
    settings = {"SECURITY__KEY_FILE": str(tmp_path / "keys.json"), "REVIEW__SAMPLE": "0.5"}
    with process(packaged, **settings) as (running, client):
        url = str(client.base_url)
        examples = ["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"]
        done = schemathesis(tmp_path, url, "-H", f"Authorization: Bearer {key}", *examples)
        print(done.stdout[-1500:])
        assert done.returncode == 0, done.stdout[-20_000:]
        assert "19 selected" in done.stdout
        assert "returned only 401/403" not in done.stdout
        done = schemathesis(tmp_path, url, "--phases", "examples,fuzzing", "--max-examples", "5", "--seed", "1")
        assert done.returncode == 0, done.stdout[-20_000:]
        assert running.poll() is None


@pytest.mark.slow
def test_every_response_conforms_to_the_openapi_schema_where_no_key_is_required(
    packaged: demo.Packaged, tmp_path: Path
) -> None:
    """The schema declares no security then, so that no request is expected to be rejected for its key."""
    with process(packaged) as (running, client):
        examples = ["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "1"]
        done = schemathesis(tmp_path, str(client.base_url), *examples)
        assert done.returncode == 0, done.stdout[-20_000:]
        assert "19 selected" in done.stdout
        assert running.poll() is None
