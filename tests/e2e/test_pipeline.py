"""Tests of the pipeline as DVC runs it, in a copy of the project, on a sample of the flights."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from skline.release.verdict import read_verdict
from tests.fixtures.demo import FLIGHTS, PARAMS, ROOT, SAMPLE_PROJECT, Packaged
from tests.fixtures.server import process


def dvc(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run DVC in a project with the engine of the test environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path}
    env.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def run_skline(project: Path, *arguments: str) -> str:
    """Run the command line in a project; returns what it prints."""
    command = [sys.executable, "-m", "skline.cli", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stages_run(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", done.stdout)


def git(project: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True)


def set_params(project: Path, **changes: object) -> None:
    """Change params.yaml; `train__seed` is the key train.seed."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        section, name = key.split("__", 1)
        params[section][name] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def mlflow_runs(project: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        return int(store.execute("select count(*) from runs").fetchone()[0])


def recorded_digests(project: Path) -> list[str]:
    """Return the digest of each line in the record of registered versions."""
    lines = (project / "releases/registered.jsonl").read_text().splitlines()
    return [json.loads(line)["artifact_sha256"] for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the project of the tests and its flights as a CSV that DVC watches."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    names = (
        "src/model/__init__.py",
        "serving",
        "releases/.gitignore",
        "dvc.yaml",
        "engine.json",
        ".dvc/config",
        ".dvcignore",
        ".gitignore",
        "pyproject.toml",
    )
    for name in names:
        source = ROOT / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
    for name in ("contract.py", "source.py", "pipeline.py"):
        shutil.copy(SAMPLE_PROJECT / name, folder / "src/model" / name)
    shutil.copy(PARAMS, folder / "params.yaml")
    (folder / "data/source").mkdir(parents=True)
    (folder / "data/source/flights.csv").write_bytes(gzip.decompress(FLIGHTS.read_bytes()))
    set_params(
        folder,
        source__uri="data/source/flights.csv",
        evaluate__baseline_rows=1000,
        evaluate__min_segment_rows=20,
        evaluate__resamples=100,
        gates__floors={"roc_auc": 0.55},  # reachable with a small sample and few trees
        gates__worst_segment=None,
        gates__linear_margin=0.1,
    )
    params = yaml.safe_load((folder / "params.yaml").read_text())["train"]["params"]
    set_params(folder, train__params=params | {"model__max_iter": 15})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


STAGES = ["ingest", "validate", "split", "train", "tune", "evaluate", "package", "assess", "gate", "register"]


def test_repro_runs_only_stages_whose_inputs_changed(project: Path) -> None:
    done = dvc(project, "repro")
    assert stages_run(done) == STAGES
    assert "to commit: git add dvc.lock artifact.sha256 reports releases/registered.jsonl" in done.stdout
    assert mlflow_runs(project) == 1
    assert recorded_digests(project) == [(project / "artifact.sha256").read_text().strip()]
    assert stages_run(dvc(project, "repro")) == []
    digest = (project / "artifact.sha256").read_text()
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first model")

    params = yaml.safe_load((project / "params.yaml").read_text())["train"]["params"]
    set_params(project, train__params=params | {"model__learning_rate": 0.2})
    assert stages_run(dvc(project, "repro")) == STAGES[3:]
    assert mlflow_runs(project) == 2
    assert (project / "artifact.sha256").read_text() != digest
    assert recorded_digests(project)[0] == digest.strip()
    assert recorded_digests(project)[1] == (project / "artifact.sha256").read_text().strip()
    assert "summary.json" in dvc(project, "metrics", "diff").stdout

    set_params(project, train__params=params)
    assert set(stages_run(dvc(project, "repro"))) <= set(STAGES[3:])
    assert mlflow_runs(project) == 2
    assert len(recorded_digests(project)) == 2
    assert (project / "artifact.sha256").read_text() == digest


@pytest.mark.slow
def test_another_clone_of_the_commit_makes_the_same_results(project: Path) -> None:
    dvc(project, "repro")
    git(project, "add", "-A")
    git(project, "commit", "-q", "--allow-empty", "-m", "results")
    clone = project.with_name("clone")
    git(project.parent, "clone", "-q", str(project), str(clone))
    assert not (clone / "data/source/flights.csv").exists(), "git ignores tables"
    shutil.copytree(project / "data/source", clone / "data/source")
    done = dvc(clone, "repro")
    assert set(STAGES) - set(stages_run(done)) <= {"assess"}, "its outputs are in git, and its inputs are equal"
    assert mlflow_runs(clone) == 1
    assert "not the results that the last commit records" not in done.stdout
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""


@pytest.mark.slow
def test_clone_that_pulls_serves_without_training(project: Path) -> None:
    dvc(project, "add", "data/source/flights.csv")
    dvc(project, "repro")
    run_skline(project, "remote", "add", "../storage")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "results, and a remote")
    assert "not there: " in run_skline(project, "remote")
    dvc(project, "push")
    assert "everything that dvc.lock and the .dvc files record is there" in run_skline(project, "remote")

    clone = project.with_name("pulled")
    git(project.parent, "clone", "-q", str(project), str(clone))
    assert not (clone / "artifact").exists()
    assert "only there: " in run_skline(clone, "remote")
    dvc(clone, "pull")
    digest = (clone / "artifact.sha256").read_text().strip()
    with process(Packaged(clone / "artifact", digest), cwd=clone) as (_, client):
        assert client.get("/info").json()["model_version"].endswith(digest[:12])
    assert stages_run(dvc(clone, "repro", "--pull")) == []
    assert stages_run(dvc(clone, "repro")) == ["register"]
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == ""
    for name in ("pulled", "storage"):
        shutil.rmtree(project.with_name(name))


def test_model_that_fails_a_gate_is_reported_but_not_registered(project: Path) -> None:
    if not (project / "mlflow.db").exists():
        dvc(project, "repro")
    digest, runs = (project / "artifact.sha256").read_text(), mlflow_runs(project)
    params = (project / "params.yaml").read_text()
    try:
        set_params(project, gates__floors={"roc_auc": 0.99})
        failed = dvc(project, "repro", check=False)
        assert stages_run(failed) == ["assess", "gate"]
        [line] = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
        assert "1 of" in line
        assert "floor roc_auc" in line
        assert json.loads((project / "reports/verdict.json").read_text())["artifact_sha256"] == digest.strip()
        assert "Must not be released" in (project / "reports/report.html").read_text()
        assert (project / "artifact.sha256").read_text() == digest, "the admitted artifact stays"
        assert stages_run(dvc(project, "repro", check=False)) == ["gate"]  # the gate fails again
        assert mlflow_runs(project) == runs
    finally:
        (project / "params.yaml").write_text(params)
    # The gate runs again only if the verdict is another one than that by which it admitted the artifact.
    assert stages_run(dvc(project, "repro")) in (["assess"], ["assess", "gate"], ["assess", "gate", "register"])
    assert read_verdict(project / "reports/verdict.json").failed_gates == ()
    assert (project / "artifact.sha256").read_text() == digest


def test_dvc_plots_show_draws_the_curves(project: Path) -> None:
    if not (project / "reports/plots/roc.csv").exists():
        dvc(project, "repro")
    dvc(project, "plots", "show")
    page = (project / "dvc_plots/index.html").read_text()
    assert page.count("true_positive_rate") > 1
    assert page.count("recall") > 1


def test_unreadable_source_keeps_the_last_table(project: Path) -> None:
    if not (project / "dvc.lock").exists():
        dvc(project, "repro")
    before = (project / "data/raw/table.parquet").read_bytes()
    source = project / "data/source/flights.csv"
    content = source.read_text()
    try:
        source.write_text(content.replace("distance", "distnace", 1))
        failed = dvc(project, "repro", check=False)
        assert failed.returncode != 0
        [line] = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
        assert "'distance' (it has 'distnace')" in line
        assert (project / "data/raw/table.parquet").read_bytes() == before
    finally:
        source.write_text(content)
    assert stages_run(dvc(project, "repro")) in ([], ["ingest"])


def test_artifact_of_the_pipeline_is_verified_in_a_new_process(project: Path) -> None:
    if not (project / "artifact.sha256").exists():
        dvc(project, "repro")
    digest = (project / "artifact.sha256").read_text().strip()
    command = [sys.executable, "-m", "skline.scoring.golden_verification", "artifact", digest]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((project / "artifact/manifest.json").read_text())
    assert manifest["engine"]
    assert manifest["metrics"]["model"]["roc_auc"] > 0.5
