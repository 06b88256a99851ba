"""`retrain.action: recalibrate` sets calibration and threshold on the newest labels, and runs no fit."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.e2e.test_retraining import COMMAND, LOG, ROWS, log_predictions
from tests.fixtures.small_project import commit, make_project, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

HERE = Path(sys.prefix)


def fit_of(project: Path) -> str:
    """Return the md5 of the fit in dvc.lock."""
    stage = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train"]
    return next(str(out["md5"]) for out in stage["outs"] if out["path"] == "models/fitted.joblib")


def test_newest_labels_recalibrate_the_fit_that_is_in_service(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"] |= {"calibrate": "sigmoid", "threshold": {"objective": "fbeta"}}
    params["retrain"] = {"min_labels": ROWS, "new_labels": ROWS, "action": "recalibrate"}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(project, HERE, sys.executable, "-m", "dvc", "repro")
    commit(project, "a model in service")
    fit, digest = fit_of(project), (project / "artifact.sha256").read_text().strip()
    before = pd.read_parquet(project / "data/split/train.parquet")
    log_predictions(project, digest)

    output = run(project, HERE, *COMMAND, **LOG).stdout
    assert "registered flights/2: " in output
    assert "params.yaml" in output.partition("to commit: ")[2]
    assert yaml.safe_load((project / "params.yaml").read_text())["source"]["fitted_snapshots"] == 0
    assert fit_of(project) == fit, "the fit is the one that was in service"
    pd.testing.assert_frame_equal(pd.read_parquet(project / "data/split/train.parquet"), before)
    tuning = json.loads((project / "models/tuning.json").read_text())
    assert tuning["rows"] == ROWS, "the new labels alone"
    assert (project / "artifact.sha256").read_text().strip() != digest
    lines = (project / "releases/registered.jsonl").read_text().splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["1", "2"]

    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["params"]["model__max_iter"] = 16
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    failed = run(project, HERE, *COMMAND, "--reason", "a test", check=False, **LOG)
    assert failed.returncode == 1
    assert "retrain.action is recalibrate, and what the last fit depends on has changed: params.yaml" in failed.stderr
    assert fit_of(project) == fit
