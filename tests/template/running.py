"""Helpers that run a rendered project with the engine of the test environment."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from skline.stages import STAGES
from tests.fixtures.demo import Packaged
from tests.fixtures.server import process
from tests.template.tables import SampleTable

#: Runs the stages but the last in forks of a process that imports their libraries, of which most of their time is.
STAGES_IN_FORKS = """
import importlib
import os
import sys

from skline import cli
from skline.stages import STAGES

for name in STAGES:
    importlib.import_module(f"skline.stages.{name}")
for name in STAGES[:-1]:
    child = os.fork()
    if not child:
        sys.argv[1:] = ["stage", name]
        sys.exit(cli.main())
    if os.waitpid(child, 0)[1]:
        sys.exit(f"the stage {name} failed")
"""


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
    """Set up a project for a table, which is written beside it; returns what init printed."""
    path = table.write(project.parent / "a table.csv")
    return run_module(project, "skline.cli", "init", str(path), "--target", table.target, "--seconds", "0")


def run_pipeline(project: Path) -> None:
    """Run the pipeline of a project without results, in two thirds of the processor time of `dvc repro`.

    DVC runs the last stage, and would run each other one whose results are not those that it declares.
    """
    script = project / "run_stages.py"
    script.write_text(STAGES_IN_FORKS)
    run_module(project, "run_stages")
    script.unlink()
    run_module(project, "dvc", "commit", "--quiet", "--force", *STAGES[:-1])
    assert re.findall(r"Running stage '(\w+)'", run_module(project, "dvc", "repro")) == [*STAGES[-1:]]


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
