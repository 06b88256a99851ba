"""`skline retrain` adds the labels of the log to the table, registers and promotes, also after it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pandas as pd
import pytest
import yaml

from skline.clock import now_us
from skline.ids import new_prediction_ids
from skline.locks import is_locked
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.retraining.journal import read_journal
from tests.fixtures import demo
from tests.fixtures.small_project import commit, make_project, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

HERE = Path(sys.prefix)
ROWS = 300
DAY_US = 86_400_000_000
COMMAND = (sys.executable, "-m", "skline.cli", "retrain")
LOG = {"SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions"}


def log_predictions(folder: Path, digest: str) -> list[str]:
    """Log predictions for rows of the training part, labelled, three days old; the first label is corrected."""
    rows = demo.parts()["train"].head(ROWS)
    inputs = orjson.loads(rows[demo.contract().input_names].to_json(orient="records", date_format="iso"))
    for each in inputs:
        each["flight_date"] = each["flight_date"][:10]
    ids, start = new_prediction_ids(ROWS), now_us() - 3 * DAY_US
    store = open_store(
        LogSettings(database=str(folder / "logs/predictions.db"), partitions=folder / "logs/predictions")
    )
    store.write(
        "predictions",
        [
            (
                each, start + number, "demo", digest, "plan", orjson.dumps(row).decode(), "true",
                '{"false":0.4,"true":0.6}', 900, "r", None, None, 0, "champion", None, None, None, None,
            )
            for number, (each, row) in enumerate(zip(ids, inputs, strict=True))
        ],
    )  # fmt: skip
    labels = [(each, start + DAY_US, each, None, None, orjson.dumps(bool(late)).decode())
              for each, late in zip(ids, rows["late"], strict=True)]  # fmt: skip
    corrected = ("corrected", start + DAY_US + 1, ids[0], None, None, orjson.dumps(not rows["late"].iloc[0]).decode())
    store.write("labels", [*labels, corrected])
    store.close()
    return ids


def kill_during_ingest(folder: Path) -> None:
    """Run the command, and kill it, and nothing else, once the pipeline runs."""
    environment = os.environ | LOG | {"PATH": os.pathsep.join([str(HERE / "bin"), os.environ["PATH"]])}
    process = subprocess.Popen([*COMMAND, "--reason", "a test"], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while not (folder / "data/contract.json").exists():
        assert process.poll() is None, "the command ended before the pipeline began"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_labels_become_a_version_that_serves_and_a_kill_doubles_none(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["retrain"] = {"min_labels": ROWS, "new_labels": ROWS, "auto_promote": "full"}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    packaged = demo.package(project / "artifact")
    (project / "artifact.sha256").write_text(packaged.digest + "\n")
    commit(project, "a model in service")
    ids = log_predictions(project, packaged.digest)

    kill_during_ingest(project)
    lock = project / "logs/.retrain.lock"
    assert is_locked(lock), "the pipeline that goes on keeps the lock"
    assert "another process is retraining" in run(project, HERE, *COMMAND, **LOG).stdout
    while is_locked(lock):
        time.sleep(0.1)

    output = run(project, HERE, *COMMAND, **LOG).stdout
    assert f"Train: there are {ROWS} matured labels since the last training." in output
    assert "registered flights/1: May be released" in output
    changes = "data/source/feedback dvc.lock artifact.sha256 reports releases/registered.jsonl"
    assert f"to commit: git add {changes}" in output
    [snapshot] = (project / "data/source/feedback").glob("*.parquet")
    assert snapshot.with_name(f"{snapshot.name}.dvc").is_file()
    [line] = [json.loads(text) for text in (project / "releases/registered.jsonl").read_text().splitlines()]
    assert line["verdict"]["passed"]

    train = pd.read_parquet(project / "data/split/train.parquet")
    added = train[train["flight_id"].isin(ids)]
    assert sorted(added["flight_id"]) == sorted(ids), "each row once"
    late = added.set_index("flight_id")["late"]
    assert late[ids[0]] != demo.parts()["train"]["late"].iloc[0], "the corrected label"
    for part in ("validation", "test", "live"):
        assert not set(ids) & set(pd.read_parquet(project / f"data/split/{part}.parquet")["flight_id"])

    again = run(project, HERE, *COMMAND, **LOG).stdout
    assert "Do not train: there is no reason (and there are 0 matured labels" in again
    entries = read_journal(project / "logs").entries
    assert [each.decision.retrain for each in entries if each.decision] == [True, False, True, False]
    assert [each.training.outcome for each in entries if each.training] == ["registered", "promoted"]
    release = json.loads((project / "releases/release.json").read_text())
    assert release["arms"][0]["sha256"] == line["artifact_sha256"]
