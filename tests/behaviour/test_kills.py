"""The service, monitoring, retraining, `dvc repro` and the replay are killed at random moments, thirty times in all.

just test-kills            # some minutes; KILL_SEED=1 repeats the lifetimes, KILLS=2 kills each part less often
"""

import json
import os
import random
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml

from skline import paths
from skline.feedback import PREDICTION_ID, list_snapshots
from skline.files import read_json_lines
from skline.logs.read import read_labels, read_predictions
from skline.release.registered import RegisteredVersion
from skline.release.store import ReleaseStore
from skline.retraining.journal import read_journal
from skline.retraining.matured import read_matured
from skline.retraining.replay.progress import Progress
from skline.retraining.replay.workspace import Workspace
from tests.behaviour.processes import Killer, Part, running_processes
from tests.fixtures.replayed_project import HERE, NAME, POLICY, count_live, make_replayed_project, start_replay
from tests.fixtures.small_project import run

pytestmark = [pytest.mark.kills, pytest.mark.filterwarnings("ignore")]

#: Enough for all kills on a fast machine.
LIVE_DAYS = 20
#: Of each part.
KILLS = int(os.environ.get("KILLS", "6"))
#: The longest lifetimes are less than half of the work of a process that is not killed: most are killed, at any moment.
PARTS = {
    "service": Part("skline.cli serve", 2),
    "monitor": Part("skline.cli monitor", 2),
    "retrain": Part("skline.cli retrain", 8),
    "dvc repro": Part("dvc repro", 6),
    "replay": Part("skline.cli replay", 16),
}
#: Requests that are under way at the same time, and that a killed service does not answer.
CONNECTIONS = 4
LOG = {"SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions"}


def prepare(project: Path, workspace: Workspace) -> "subprocess.Popen[bytes]":
    """Start the replay, and wait until its first model serves; return its process."""
    process = start_replay(project, "--every", "1d")
    while not workspace.progress.exists():
        assert process.poll() is None, (project / "replay.log").read_text()
        time.sleep(0.1)
    return process


def run_with_kills(project: Path, process: "subprocess.Popen[bytes]", killer: Killer) -> int:
    """Kill at random, start the replay again whenever it ended with an error; return how often it was started."""
    for number in range(1, 100):
        while process.poll() is None:
            killer.step()
            time.sleep(0.05)
        if process.returncode in (0, 10):
            return number
        process = start_replay(project)
    pytest.fail("the replay never ends")


def check_log(project: Path, workspace: Workspace, killer: Killer) -> None:
    """Every row was answered once and has one label; only requests of a service that was killed had no answer."""
    predictions, labels = read_predictions(workspace.log), read_labels(workspace.log)
    rows = range(count_live(LIVE_DAYS))
    assert sorted(predictions["request_id"].to_pylist()) == [f"replay-{each:08}" for each in rows]
    assert sorted(labels["prediction_id"].to_pylist()) == sorted(predictions["prediction_id"].to_pylist())
    progress = Progress(workspace.progress)
    assert progress.failed <= CONNECTIONS * killer.done["service"]
    failures = re.findall("requests failed, the first: (.*)", (project / "replay.log").read_text())
    assert set(failures) <= {"the connection broke"}


def check_snapshots(workspace: Workspace) -> None:
    """Snapshots follow one another, are what DVC records, and have each matured label once."""
    folder = workspace.project / paths.FEEDBACK
    snapshots = list_snapshots(folder)
    assert all(after.since == before.until for before, after in pairwise(snapshots))
    ids: list[str] = []
    for each in snapshots:
        [record] = yaml.safe_load(each.path.with_name(f"{each.path.name}.dvc").read_text())["outs"]
        assert record["size"] == each.path.stat().st_size
        ids += pd.read_parquet(each.path)[PREDICTION_ID].to_list()
    horizon = workspace.read_settings().monitor.label_horizon
    matured = read_matured(workspace.log, horizon, None, snapshots[-1].until).rows
    assert sorted(ids) == sorted(matured["prediction_id"].to_pylist())
    leftovers = [each.name for each in folder.iterdir() if each.name.startswith(".") and each.suffix != ".gitignore"]
    assert leftovers in ([], [".gitignore"])


def check_journals(workspace: Workspace) -> None:
    """What the journals say is what happened: each training after its decision, each promoted version once."""
    journal = read_journal(workspace.log.folder)
    assert journal.damaged_lines == ()
    decided = [each for each in journal.entries if each.decision is not None and each.decision.retrain]
    trained = [each.training for each in journal.entries if each.training is not None]
    assert trained
    assert len(trained) <= 2 * len(decided)
    assert all(before.labels_until <= after.labels_until for before, after in pairwise(trained))
    assert {each.outcome for each in trained} <= {"registered", "promoted", "failed", "unchanged", "rejected"}
    rejected = [each.message for each in trained if each.outcome == "rejected"]
    assert all("gates failed" in message for message in rejected), rejected
    failed = [each.message for each in trained if each.outcome == "failed"]
    assert all("dvc" in message for message in failed), failed  # killed, or its lock was held by one that was not

    registered = read_json_lines(workspace.project / paths.REGISTERED, RegisteredVersion)
    assert registered.damaged_lines == ()
    versions = [each.version for each in registered.values]
    assert len(set(versions)) == len(versions)

    store = ReleaseStore(workspace.project / paths.RELEASES)
    released = [each.release.champion.sha256 for each in reversed(list(store.history()))]
    assert len(set(released)) == len(released), "no version is released twice"
    promoted = [each.artifact_sha256 for each in trained if each.outcome == "promoted"]
    assert promoted == released[1:], "each release after the first is that of a promotion in the journal"
    current = store.current()
    assert current is not None
    assert current.champion.sha256 == released[-1]
    answered = set(read_predictions(workspace.log)["artifact_digest"].to_pylist())
    assert answered <= set(released)


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KILL_SEED={seed}", flush=True)
    project = make_replayed_project(tmp_path / "project", LIVE_DAYS, POLICY)
    workspace = Workspace(project / "replays" / NAME)
    process = prepare(project, workspace)
    killer = Killer([project, workspace.project], PARTS, KILLS, seed)
    starts = run_with_kills(project, process, killer)
    print("\n".join([*killer.history, f"the replay was started {starts} times"]), flush=True)
    assert killer.is_done, killer.done

    check_log(project, workspace, killer)
    check_snapshots(workspace)
    check_journals(workspace)
    assert [each for each in running_processes().values() if each.folder == workspace.project] == []

    history = run(workspace.project, HERE, sys.executable, "-m", "skline.cli", "retrain", "history", **LOG).stdout
    assert "unreadable" not in history
    run(workspace.project, HERE, sys.executable, "-m", "dvc", "repro", **LOG)
    ids = project / "ids.txt"
    ids.write_text("\n".join(read_predictions(workspace.log)["prediction_id"].to_pylist()[::17]))
    trace = (sys.executable, "-m", "skline.cli", "trace", "--ids", str(ids), "--json")
    traced = run(workspace.project, HERE, *trace, check=False, **LOG)
    assert traced.returncode == 0, traced.stdout + traced.stderr
    assert json.loads(traced.stdout)
