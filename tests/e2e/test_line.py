"""The line as DVC runs it, in a copy of the project, on a sample of the flights."""

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

from tests.demo import FLIGHTS, PARAMS, ROOT, WORLD


def dvc(project: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run DVC in a project, its own code first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # The copy's packages come before the installed ones, which are this checkout's.
    env = os.environ | {"PATH": path, "PYTHONPATH": f"{project / 'src'}{os.pathsep}{project}"}
    env.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", done.stdout)


def git(project: Path, *words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)


def set_params(project: Path, **changes: object) -> None:
    """Change params.yaml; keys are dotted with two underscores as one: train__seed."""
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own, of the tests' own model, with the flights as a CSV that DVC watches."""
    folder = tmp_path_factory.mktemp("line") / "project"
    names = (
        "src",
        "serving",
        "dvc.yaml",
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
        shutil.copy(WORLD / name, folder / "src/model" / name)
    shutil.copy(PARAMS, folder / "params.yaml")
    (folder / "data/source").mkdir(parents=True)
    (folder / "data/source/flights.csv").write_bytes(gzip.decompress(FLIGHTS.read_bytes()))
    set_params(
        folder,
        source__uri="data/source/flights.csv",
        evaluate__baseline_rows=1000,
        evaluate__min_segment_rows=20,
    )
    params = yaml.safe_load((folder / "params.yaml").read_text())["train"]["params"]
    set_params(folder, train__params=params | {"model__max_iter": 15})
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


STAGES = ["ingest", "validate", "split", "train", "evaluate", "package", "register"]


def test_the_line_runs_once_and_a_parameter_runs_only_what_comes_after(project: Path) -> None:
    assert ran(dvc(project, "repro")) == STAGES
    assert mlflow_runs(project) == 1
    assert ran(dvc(project, "repro")) == []
    digest = (project / "artifact.sha256").read_text()
    git(project, "add", "-A")
    git(project, "commit", "-qm", "first model")

    params = yaml.safe_load((project / "params.yaml").read_text())["train"]["params"]
    set_params(project, train__params=params | {"model__learning_rate": 0.2})
    assert ran(dvc(project, "repro")) == ["train", "evaluate", "package", "register"]
    assert mlflow_runs(project) == 2
    assert (project / "artifact.sha256").read_text() != digest
    assert "metrics.json" in dvc(project, "metrics", "diff").stdout

    set_params(project, train__params=params)
    assert set(ran(dvc(project, "repro"))) <= {"train", "evaluate", "package", "register"}
    assert mlflow_runs(project) == 2
    assert (project / "artifact.sha256").read_text() == digest


def test_pages_of_plots_carry_all_that_draws_them(project: Path) -> None:
    if not (project / "reports/plots/roc.csv").exists():
        dvc(project, "repro")
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    subprocess.run([sys.executable, "-m", "skline.cli", "plots"], cwd=project, env=env, check=True)
    dvc(project, "plots", "show")
    page = (project / "dvc_plots/index.html").read_text()
    assert "vegaEmbed" in page
    assert page.count("true_positive_rate") > 1
    assert not re.search(r"<[^>]+\b(src|href)\s*=", re.sub(r"(?s)<script.*?</script>", "", page))
    assert not re.search(r"<script[^>]+src", page)


def test_a_source_that_cannot_be_read_leaves_the_last_table(project: Path) -> None:
    if not (project / "dvc.lock").exists():
        dvc(project, "repro")
    before = (project / "data/raw/table.parquet").read_bytes()
    source = project / "data/source/flights.csv"
    good = source.read_text()
    try:
        source.write_text(good.replace("distance", "distnace", 1))
        failed = dvc(project, "repro", check=False)
        assert failed.returncode != 0
        [line] = [line for line in failed.stderr.splitlines() if line.startswith("error:")]
        assert "'distance' (it has 'distnace')" in line
        assert (project / "data/raw/table.parquet").read_bytes() == before
    finally:
        source.write_text(good)
    assert ran(dvc(project, "repro")) in ([], ["ingest"])


def test_the_artifact_of_the_line_is_proved_in_a_new_process(project: Path) -> None:
    if not (project / "artifact.sha256").exists():
        dvc(project, "repro")
    digest = (project / "artifact.sha256").read_text().strip()
    command = [sys.executable, "-m", "skline.scoring.golden", "artifact", digest]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((project / "artifact/manifest.json").read_text())
    assert manifest["git_commit"]
    assert manifest["metrics"]["model"]["roc_auc"] > 0.5
