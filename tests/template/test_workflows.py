"""Drills: the workflows `ci` and `template` on this machine, with a rendered project and its service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_workflows import GITHUB, REPOSITORY, environment
from tests.deploy.workflow_steps import Runner, steps_of
from tests.fixtures.server import free_port
from tests.fixtures.small_project import git
from tests.template.rendering import ENVIRONMENT
from tests.template.running import init_project
from tests.template.tables import TABLES

pytestmark = pytest.mark.slow


@pytest.fixture
def runners() -> Iterator[list[Runner]]:
    """A list of runners; what they have left running is ended."""
    runners: list[Runner] = []
    yield runners
    for runner in runners:
        runner.end()


def run_job(runner: Runner, name: str) -> str:
    """Run the steps of the job `project` that are not of a schedule; return the output of the last one."""
    output = ""
    for step in steps_of(REPOSITORY / f"workflows/{name}.yml", "project"):
        if "schedule" not in step.get("if", ""):
            done = runner.run(step)
            assert done.returncode == 0, f"{step['run']}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
            output += done.stdout
    return output


def test_project_passes_its_ci(project: Path, tmp_path: Path, runners: list[Runner]) -> None:
    init_project(project, TABLES["binary"]())
    runner = Runner(project, tmp_path / "runner", environment(SERVICE_PORT=str(free_port())), GITHUB)
    runners.append(runner)
    output = run_job(runner, "ci")
    build, started, removed = runner.calls("docker")
    digest = (project / "artifact.sha256").read_text().strip()
    assert build == f"build --target full --build-arg ARTIFACT_DIGEST={digest} -t service ."
    assert started.startswith("run -d --read-only --tmpfs /tmp --cap-drop ALL -p 127.0.0.1:")
    assert removed.startswith("rm -f ")
    assert " 0 predictions differ" in output


def test_rendered_project_runs_its_four_commands(template: Path, tmp_path: Path, runners: list[Runner]) -> None:
    git(tmp_path, "clone", "-q", str(template), str(tmp_path / "repository"))
    variables = environment(SKLINE_PORT=str(free_port()), **ENVIRONMENT)
    runner = Runner(tmp_path / "repository", tmp_path / "runner", variables, GITHUB)
    runners.append(runner)
    assert " 0 predictions differ" in run_job(runner, "template")
    assert (tmp_path / "project/pyproject.toml").exists()
