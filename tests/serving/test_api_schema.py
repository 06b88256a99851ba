"""The whole API against its own OpenAPI schema, every check of schemathesis on, with a key and without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skline import keys
from tests import demo
from tests.serving.test_drain import process

HERE = Path(__file__).parent


def schemathesis(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it, its files in `folder`; its report names each request that failed, and how to repeat it."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml")]
    command += ["run", f"{url}/openapi.json", "--continue-on-failure", "--no-color", *arguments]
    hooks = os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=570, cwd=folder, env=hooks)


@pytest.mark.slow
def test_whatever_is_sent_the_answer_is_as_the_schema_says(packaged: demo.Packaged, tmp_path: Path) -> None:
    """No 5xx, no undocumented status, no answer of another form; keys are asked for where the schema says so."""
    _, key = keys.add(tmp_path / "keys.json", "all", ["predict", "label", "admin"])
    settings = {"SECURITY__KEY_FILE": str(tmp_path / "keys.json"), "REVIEW__SAMPLE": "0.5"}
    with process(packaged, **settings) as (running, client):
        url = str(client.base_url)
        examples = ["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"]
        done = schemathesis(tmp_path, url, "-H", f"Authorization: Bearer {key}", *examples)
        print(done.stdout[-1500:])
        assert done.returncode == 0, done.stdout[-20_000:]
        assert "17 selected" in done.stdout
        assert "returned only 401/403" not in done.stdout
        done = schemathesis(tmp_path, url, "--phases", "examples,fuzzing", "--max-examples", "5", "--seed", "1")
        assert done.returncode == 0, done.stdout[-20_000:]
        assert running.poll() is None
