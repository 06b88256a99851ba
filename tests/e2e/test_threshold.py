"""Another threshold is a version of its own: tuned, evaluated, gated, registered and served, and not fitted again."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from skline.artifact import Artifact, read_digest
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures.small_project import commit, make_project, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

HERE = Path(sys.prefix)


def skline(folder: Path, *arguments: str) -> str:
    return run(folder, HERE, sys.executable, "-m", "skline.cli", *arguments).stdout


def repro(folder: Path) -> tuple[list[str], str]:
    """Run the pipeline; return the stages that ran, and the output."""
    output = run(folder, HERE, sys.executable, "-m", "dvc", "repro").stdout
    return re.findall(r"Running stage '(\w+)'", output), output


def answers(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Serve the artifact in a folder, and return what /predict answers."""
    settings = ServiceSettings(artifact=folder / "artifact", artifact_digest=read_digest(folder / "artifact.sha256"))
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        return [client.post("/predict", json=row).json() for row in rows]


def locked(folder: Path) -> dict[str, str]:
    """Return the md5 of each output, by path, from dvc.lock."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}


def recorded(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "releases/registered.jsonl").read_text().splitlines()]


def champion(folder: Path) -> str:
    """Return the digest of the artifact in service."""
    return str(json.loads((folder / "releases/release.json").read_text())["arms"][0]["sha256"])


def test_threshold_becomes_a_version_without_a_fit(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    repro(project)
    commit(project, "first model")
    before, fitted = locked(project), (project / "models/fitted.joblib").stat()
    shutil.copytree(project / "artifact", tmp_path / "first/artifact")
    shutil.copy(project / "artifact.sha256", tmp_path / "first")
    skline(project, "promote")

    assert "train.threshold: 0.3 → 0.35" in skline(project, "threshold", "0.35")
    stages, output = repro(project)
    assert stages == ["tune", "evaluate", "package", "assess", "gate", "register"]
    after = locked(project)
    assert after["models/fitted.joblib"] == before["models/fitted.joblib"]
    assert (project / "models/fitted.joblib").stat().st_mtime_ns == fitted.st_mtime_ns
    assert after["models/scoring"] != before["models/scoring"], "the plan has the threshold"
    assert "flights version 2, new run" in output
    assert "threshold 0.35, the fitted pipeline of version 1" in output

    digest = read_digest(project / "artifact.sha256")
    lines = recorded(project)
    assert [line["version"] for line in lines] == ["1", "2"]
    assert lines[1]["artifact_sha256"] == digest != lines[0]["artifact_sha256"]
    verdict = json.loads((project / "reports/verdict.json").read_text())
    assert verdict["artifact_sha256"] == digest
    assert verdict["champion_sha256"] == lines[0]["artifact_sha256"], "it was compared with the released version"
    assert lines[1]["verdict"]["passed"] is True
    manifest = Artifact.open(project / "artifact", digest).manifest
    assert manifest.tuning is not None
    assert manifest.tuning.threshold is not None
    assert manifest.tuning.threshold.value == 0.35

    rows = Artifact.open(project / "artifact", digest).golden.rows
    first, second = answers(tmp_path / "first", rows), answers(project, rows)
    assert [each["probabilities"] for each in second] == [each["probabilities"] for each in first]
    scores = [each["probabilities"]["true"] for each in second]
    assert [each["prediction"] for each in first] == [score >= 0.3 for score in scores]
    assert [each["prediction"] for each in second] == [score >= 0.35 for score in scores]
    assert first != second

    skline(project, "promote")
    assert champion(project) == digest
    skline(project, "rollback", "--reason", "too few warnings")
    assert champion(project) == lines[0]["artifact_sha256"]

    assert "0.35 → 0.3" in skline(project, "threshold", "0.3")
    stages, _ = repro(project)
    assert "train" not in stages
    assert read_digest(project / "artifact.sha256") == lines[0]["artifact_sha256"], "the first artifact again"
