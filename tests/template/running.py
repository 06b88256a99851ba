"""Helpers that run a rendered project with the engine of the test environment."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fixtures.demo import Packaged
from tests.fixtures.registry import copy_empty_registry
from tests.fixtures.server import process
from tests.template.tables import SampleTable


def run_module(project: Path, *command: str, status: int = 0) -> str:
    """Run a Python module in a project; returns what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path}
    for name in ("MLFLOW_TRACKING_URI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    command = [sys.executable, "-m", *command]
    completed = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert completed.returncode == status, completed.stdout[-4000:] + completed.stderr[-4000:]
    return completed.stdout + completed.stderr


def init_project(project: Path, table: SampleTable) -> str:
    """Set up a project for a table, which is written beside it, with an empty registry; returns what init printed."""
    copy_empty_registry(project)
    path = table.write(project.parent / "a table.csv")
    return run_module(project, "skline.cli", "init", str(path), "--target", table.target, "--seconds", "0")


def predict(project: Path, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Serve a project with `skline serve`; returns its predictions for rows, its OpenAPI document and its page."""
    packaged = Packaged(project / "artifact", (project / "artifact.sha256").read_text().strip())
    log = {"LOG__DATABASE": str(project / "logs.db"), "LOG__PARTITIONS": str(project / "logs")}
    with process(packaged, cwd=project, **log) as (_, client):
        responses = [client.post("/predict", json=row) for row in rows]
        assert all(response.status_code == 200 for response in responses), [response.text for response in responses]
        return [response.json() for response in responses], client.get("/openapi.json").json(), client.get("/").text


def output_numbers(response: dict[str, Any]) -> list[float]:
    return list(response["probabilities"].values()) if response.get("probabilities") else [response["prediction"]]
