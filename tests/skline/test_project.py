"""Tests of the project's root: commands find it from any folder inside the project."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from skline import cli, load
from skline.commands.init import given_table
from skline.errors import SklineError
from skline.files import read_json
from skline.project import enter_project, find_project, given_path, how_to_get
from tests.fixtures import demo


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder outside of any project, as the current folder, without settings in the environment."""
    for name in [name for name in os.environ if name.startswith("SKLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(tmp_path: Path, packaged: demo.Packaged) -> Path:
    """A project with the packaged artifact, and a folder `notebooks` in it."""
    (tmp_path / "artifact").symlink_to(packaged.folder)
    (tmp_path / "artifact.sha256").write_text(packaged.digest + "\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def skline(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skline.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_output_that_dvc_has_elsewhere_is_to_be_pulled(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    artifact, fit, other = Path("artifact"), Path("models/scoring/plan.json"), project / "models/other.json"
    assert how_to_get(artifact) == "run `dvc repro` to create it"
    (project / "dvc.lock").write_text("stages:\n  gate:\n    outs:\n    - path: artifact\n    - path: models/scoring\n")
    for output in (artifact, project / "artifact/manifest.json", fit):
        assert how_to_get(output) == "run `dvc pull` to fetch what dvc.lock records, or `dvc repro` to create it"
    assert how_to_get(other) == how_to_get(Path("artifacts")) == "run `dvc repro` to create it"
    artifact.unlink()
    expected = r"cannot be read \(No such file .*\); run `dvc pull` .*, or `dvc repro` to package an artifact$"
    with pytest.raises(SklineError, match=expected):
        load()
    with pytest.raises(SklineError, match=r"plan.json is missing; run `dvc pull` .*, or `dvc repro` to create it$"):
        read_json(fit)


def test_command_below_the_root_runs_in_the_root_and_reads_and_writes_the_given_files(project: Path) -> None:
    below = project / "notebooks"
    pd.DataFrame(demo.parts()["test"].iloc[:3]).to_parquet(below / "rows.parquet")
    done = skline(below, "score", "rows.parquet", "--out", "scored.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 rows scored by demo@")
    assert sorted(path.name for path in below.iterdir()) == ["rows.parquet", "scored.csv"]


def test_command_in_a_folder_with_an_artifact_of_its_own_stays_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "notebooks")
    Path("artifact.sha256").write_text("0" * 64)
    enter_project()
    assert Path.cwd() == project / "notebooks"
    Path("artifact.sha256").unlink()
    enter_project()
    assert Path.cwd() == project


#: Arguments with which each command needs a project.
IN_PROJECT = (
    "source check", "source update", "remote", "remote add .", "doctor", "stage train", "sync", "threshold",
    "threshold 0.4", "predict a=1", "predict a=1 --version 1", "score t.csv --out s.csv",
    "stream kafka://h:1/t --to a --rejected b", "compare http://127.0.0.1:9", "deploy init k8s", "deploy secrets",
    "key new --name a", "key list", "key revoke a", "promote", "rollback", "abort", "releases", "releases --push s3://b/r",
    "flag", "flag explain off", "experiment report", "shadow", "shadow --artifact artifact", "label t.csv",
    "label t.csv --artifact artifact", "log status", "log seal", "log purge --days 1", "log forget a", "monitor",
    "monitor history", "retrain", "retrain history", "retrain resume", "replay", "changes", "trace a",
    "trace --artifact 1", "trace --artifact 1 --openlineage f",
)  # fmt: skip
#: Commands that need none: the service in an image, and what makes a project.
ON_THEIR_OWN = {"init", "serve"}


@pytest.mark.parametrize("words", IN_PROJECT)
def test_command_outside_of_a_project_says_so_and_writes_nothing(words: str, outside: Path) -> None:
    arguments = cli.parser().parse_args(words.split())
    with pytest.raises(SklineError, match="is not in a project: neither it nor a folder above it has a dvc.yaml"):
        arguments.run(arguments)
    assert list(outside.iterdir()) == []


def test_every_command_is_tried_outside_of_a_project() -> None:
    names = {command.__name__.rpartition(".")[2] for command in cli.COMMANDS}
    assert {words.split()[0] for words in IN_PROJECT} == names - ON_THEIR_OWN


def test_command_outside_of_a_project_ends_with_one_line(outside: Path) -> None:
    done = skline(outside, "log", "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {outside} is not in a project: ")
    assert done.stderr.count("\n") == 1


def test_command_outside_of_a_project_uses_what_is_given_or_there(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> str:
        arguments = cli.parser().parse_args(words)
        arguments.run(arguments)
        return capsys.readouterr().out

    assert "its hash is in given.json" in run("key", "new", "--name", "a", "--file", "given.json")
    monkeypatch.setenv("SKLINE_SECURITY__KEY_FILE", "given.json")
    assert "valid" in run("key", "list")
    monkeypatch.setenv("SKLINE_LOG__DATABASE", "given.db")
    assert run("log", "status").startswith("database    given.db")
    monkeypatch.delenv("SKLINE_LOG__DATABASE")
    (outside / "logs/predictions").mkdir(parents=True)
    assert run("log", "status").startswith("database    logs/predictions.db")
    (outside / "releases").mkdir()
    (outside / "releases/journal.jsonl").touch()
    assert run("releases").startswith("no release yet")


def test_given_paths_stay_as_they_are_in_the_root_and_outside_of_a_project(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (project, tmp_path_factory.mktemp("outside")):
        monkeypatch.chdir(folder)
        assert given_path("rows.csv") == Path("rows.csv")
    monkeypatch.chdir(project / "notebooks")
    assert given_path("rows.csv") == project / "notebooks/rows.csv"
    assert given_path("/rows.csv") == Path("/rows.csv")
    assert find_project(Path.cwd()) == project


def test_table_of_init_is_absolute_below_the_root_only_if_it_is_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "notebooks")
    (project / "notebooks/t.csv").touch()
    for table in ("https://example.invalid/t.csv", "package:flights/t.csv", "sqlite:///t.db"):
        assert given_table(table) == table
    assert given_table("t.csv") == str(project / "notebooks/t.csv")
