"""Drill: a project is updated to a template with another engine, and runs again what that engine changes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from tests.fixtures.small_project import run as run_in
from tests.template.rendering import append, commit, copier, copy_files, edit, git, requirement, tracked_files
from tests.template.rendering import template_files as small_template
from tests.template.tables import TABLES

pytestmark = pytest.mark.slow

WORKFLOW = ".github/workflows/ci.yml"
#: A route of the project's own, which an update must not remove.
ROUTE = '''
from fastapi import APIRouter  # noqa: E402

router = APIRouter()


@router.get("/hello")
def hello() -> str:
    """Greet."""
    return "hello"


app.include_router(router)
'''


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The template with the whole engine, tagged v1.0.0."""
    engine = {name for name in tracked_files() if name.startswith("src/skline/")}
    folder = copy_files(tmp_path / "template", sorted(engine | set(small_template())))
    commit(folder, "start", "v1.0.0")
    return folder


class Environment:
    """An environment with the engine that a project requires; its libraries are those of the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        [self.site_packages] = folder.glob("lib/python3*/site-packages")
        (self.site_packages / "tests.pth").write_text(str(Path(joblib.__file__).parents[1]))

    def sync(self, project: Path) -> None:
        """Install the engine that pyproject.toml requires, as `uv sync` does."""
        source = requirement(project)
        command = ["uv", "pip", "install", "-q", "--no-deps", "--python", str(self.folder / "bin/python")]
        subprocess.run([*command, f"skline @ git+{source['git']}@{source['rev']}"], check=True)

    def run(self, project: Path, *command: str, check: bool = True) -> str:
        done = run_in(project, self.folder, *command, check=check)
        return done.stdout + done.stderr

    def repro(self, project: Path) -> list[str]:
        """Run `dvc repro`; returns the stages that ran."""
        return re.findall(r"Running stage '(\w+)'", self.run(project, sys.executable, "-m", "dvc", "repro"))

    def problems(self, project: Path) -> list[tuple[str, str]]:
        """Run `skline doctor`; returns area and message of what it does not find in order, without the model card's."""
        output = self.run(project, "skline", "doctor", "--json", check=False)
        findings = json.loads(output[output.index("[") : output.rindex("]") + 1])
        return [
            (finding["check"], finding["message"])
            for finding in findings
            if finding["level"] != "ok" and "intended_use" not in finding["message"]
        ]


def improve(template: Path) -> None:
    """Change the engine's code of features, and three files of the template; tag the result v1.1.0."""
    append(template, "src/skline/features/time.py", "\n# improved\n")
    append(template, "Dockerfile", "# improved\n")
    append(template, "justfile.jinja", "\n# Improved.\nimproved:\n    true\n")
    edit(template, WORKFLOW, "name: ci\n", "name: improved\n")
    commit(template, "improve", "v1.1.0")


def make_edits(project: Path) -> None:
    edit(project, "params.yaml", "seed: 17", "seed: 18")
    edit(project, "src/model/contract.py", '"Colour"', '"Colour of the parcel"')
    append(project, "serving/app.py", ROUTE)
    edit(project, WORKFLOW, "timeout-minutes: 40", "timeout-minutes: 55")


def assert_edits_are_kept(project: Path) -> None:
    assert "seed: 18" in (project / "params.yaml").read_text()
    assert '"Colour of the parcel"' in (project / "src/model/contract.py").read_text()
    assert (project / "serving/app.py").read_text().endswith(ROUTE)
    assert "timeout-minutes: 55" in (project / WORKFLOW).read_text()


def test_update_moves_the_engine_and_the_pipeline_runs_what_it_changes(template: Path, tmp_path: Path) -> None:
    copier(tmp_path, "copy", str(template), "churn")
    project, table = tmp_path / "churn", TABLES["binary"]()
    environment = Environment(tmp_path / "env")
    environment.sync(project)
    path = table.write(tmp_path / "table.csv")
    environment.run(project, "skline", "init", str(path), "--target", table.target, "--seconds", "0")
    make_edits(project)
    commit(project, "start")
    assert len(environment.repro(project)) == 10
    commit(project, "first model")
    assert environment.problems(project) == []

    improve(template)
    copier(project, "update")
    assert_edits_are_kept(project)
    assert requirement(project)["rev"] == git(template, "rev-parse", "HEAD").strip()
    assert "# improved" in (project / "Dockerfile").read_text()
    assert "improved:" in (project / "justfile").read_text()
    assert "name: improved" in (project / WORKFLOW).read_text()
    assert "<<<<<<<" not in git(project, "diff")
    commit(project, "update")

    [(_, message)] = environment.problems(project)
    assert "skline is installed from" in message
    assert f"requires {requirement(project)['git']} at {requirement(project)['rev'][:12]}" in message
    environment.sync(project)
    refused = environment.run(project, "skline", "stage", "train", check=False)
    assert "engine.json records skline 1.0.0, and skline 1.1.0 in" in refused
    assert "run `uv run skline sync`, then `uv run dvc repro`" in refused
    synced = environment.run(project, "skline", "sync")
    assert "skline 1.0.0 → skline 1.1.0" in synced
    assert "train, tune, evaluate, package, assess" in synced
    changed = environment.repro(project)
    assert changed[:5] == ["train", "tune", "evaluate", "package", "assess"]
    assert set(changed[5:]) <= {"gate", "register"}, "these follow from the new artifact"
    assert environment.repro(project) == []
    commit(project, "model of the new engine")
    assert environment.problems(project) == []
    assert "for every stage" in environment.run(project, "skline", "sync", "--check")
