"""Tests of `skline.engine`, `skline stage` and `skline sync`: the engine that engine.json records makes the results."""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skline import engine
from skline.errors import SklineError
from skline.settings import schema
from skline.stages import STAGES
from tests.fixtures.demo import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without engine.json as the current folder."""
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def copied_engine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the engine's code, which `skline.engine` reads in place of the installed one."""
    folder = tmp_path_factory.mktemp("engine") / "skline"
    shutil.copytree(engine.location(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(engine, "location", lambda: folder)
    return folder


def skline(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skline.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_without_engine_json_is_an_error_in_one_line(stage: str, project: Path) -> None:
    done = skline(project, "stage", stage)
    assert done.returncode == 1
    assert done.stderr.startswith("error: engine.json is missing")
    assert "skline sync" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"assess", "gate"}))
def test_stage_without_params_yaml_is_an_error_in_one_line(stage: str, project: Path) -> None:
    engine.write_record(engine.current_record(), project / "engine.json")
    done = skline(project, "stage", stage)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml is missing")
    assert done.stderr.count("\n") == 1


def test_stage_under_another_engine_names_both_engines_and_the_remedy(project: Path) -> None:
    record = engine.current_record()
    record.stages["train"] = "0" * 16
    engine.write_record(record.model_copy(update={"version": "0.0.1"}), project / "engine.json")
    done = skline(project, "stage", "train")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "records skline 0.0.1" in line
    assert engine.version() in line
    assert str(engine.location()) in line
    assert "run `uv run skline sync`, then `uv run dvc repro`" in line
    assert "params.yaml is missing" in skline(project, "stage", "ingest").stderr, "the code of ingest is the same"


def test_sync_writes_engine_json_once(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    first = skline(tmp_path, "sync")
    assert "no engine → skline" in first.stdout
    assert f"other code for {', '.join(STAGES)}" in first.stdout
    content = (tmp_path / "engine.json").read_bytes()
    second = skline(tmp_path, "sync")
    assert "for every stage" in second.stdout
    assert "→" not in second.stdout
    assert (tmp_path / "engine.json").read_bytes() == content


def test_sync_with_check_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    assert skline(tmp_path, "sync", "--check").returncode == 1
    assert not (tmp_path / "engine.json").exists()
    record = engine.current_record()
    engine.write_record(record.model_copy(update={"version": "0.0.1"}), tmp_path / "engine.json")
    schema.write_schema(tmp_path / "schemas/params.schema.json")
    assert skline(tmp_path, "sync", "--check").returncode == 0, "another version with the same code"
    record.stages["gate"] = "0" * 16
    engine.write_record(record, tmp_path / "engine.json")
    done = skline(tmp_path, "sync", "--check")
    assert done.returncode == 1
    assert "other code for gate" in done.stderr
    engine.write_record(engine.current_record(), tmp_path / "engine.json")
    (tmp_path / "schemas/params.schema.json").write_text("{}")
    done = skline(tmp_path, "sync", "--check")
    assert done.returncode == 1
    assert "params.schema.json is not that of skline" in done.stderr
    skline(tmp_path, "sync")
    assert schema.is_current(tmp_path / "schemas/params.schema.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ("[]", "engine.json"),
        ('{"version": "1"}', "stages: "),
        ('{"version": "1", "stages": {"train": 1}}', "stages.train: "),
        ("<<<<<<< ours\n{}", "JSON"),
    ],
)
def test_invalid_engine_json_is_an_error_whose_remedy_replaces_it(project: Path, content: str, message: str) -> None:
    (project / "engine.json").write_text(content)
    with pytest.raises(SklineError, match=f"{message}.*run `uv run skline sync`"):
        engine.read_record()
    assert engine.sync()[0].startswith("engine.json: not valid → skline")
    assert engine.read_record() == engine.current_record()


def test_sync_names_the_settings_that_the_recorded_engine_does_not_know(project: Path) -> None:
    current = engine.current_record()
    old = [key for key in current.settings if key != "train.seed"]
    engine.write_record(current.model_copy(update={"settings": old, "version": "0.0.1"}))
    assert engine.sync() == [
        f"engine.json: skline 0.0.1 → skline {engine.version()}",
        "new settings: train.seed; `uv run skline doctor` prints their defaults",
    ]
    engine.write_record(current.model_copy(update={"settings": []}))
    assert len(engine.sync()) == 1, "an engine of which no settings are recorded"


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("stages/train.py", ["train"]),
        ("stages/tune.py", ["tune"]),
        ("tuning/threshold.py", ["tune", "evaluate", "assess"]),
        ("features/time.py", ["train", "tune", "evaluate", "package", "assess"]),
        ("sources/locate.py", ["ingest"]),
        ("serving/app.py", []),
        ("paths.py", []),
    ],
)
def test_only_stages_whose_code_changes_get_another_digest(copied_engine: Path, file: str, stages: list[str]) -> None:
    before = engine.current_record()
    with (copied_engine / file).open("a") as code:
        code.write("\n# changed\n")
    assert engine.changed_stages(before, engine.current_record()) == stages


def test_new_renamed_and_removed_files_change_the_digest_and_caches_do_not(copied_engine: Path) -> None:
    digests = [engine.stage_digest("gate")]
    package = copied_engine / "artifact"
    (package / "new.py").write_text("")
    digests.append(engine.stage_digest("gate"))
    (package / "new.py").rename(package / "newer.py")
    digests.append(engine.stage_digest("gate"))
    (package / "newer.py").unlink()
    assert engine.stage_digest("gate") == digests[0]
    assert len(set(digests)) == 3
    (package / "__pycache__").mkdir()
    (package / "__pycache__/new.cpython-311.pyc").write_bytes(b"x")
    assert engine.stage_digest("gate") == digests[0]


def test_version_is_printed_with_commit_python_and_folder(tmp_path: Path) -> None:
    done = skline(tmp_path, "--version")
    python = platform.python_version()
    assert done.stdout == (
        f"skline {engine.version()} (commit {engine.commit()}, Python {python}) in {engine.location()}\n"
    )


def test_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (engine.commit() or "").removesuffix("-dirty") == head.strip()


def test_commit_of_a_copy_without_git_is_unknown(copied_engine: Path) -> None:
    assert engine.commit() is None


def test_record_is_plain_json(project: Path) -> None:
    engine.write_record(engine.current_record())
    content = json.loads((project / "engine.json").read_text())
    assert list(content) == ["version", "stages", "settings"]
    assert list(content["stages"]) == list(STAGES)
    assert {"project.name", "validate.max_quarantined", "train.search.folds"} <= set(content["settings"])
