"""`skline replay` on a small table: it is killed, and its service too, and no row or label is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from skline.logs.read import read_labels, read_predictions
from skline.release.services import read_statuses
from skline.retraining.replay.outcome import ReplayResult
from skline.retraining.replay.progress import Progress
from skline.retraining.replay.workspace import Workspace
from tests.fixtures.replayed_project import HERE, NAME, PER_DAY, POLICY, count_live, make_replayed_project, start_replay
from tests.fixtures.small_project import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LIVE_DAYS = 14
LOG = {"SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions"}


def start(project: Path) -> "subprocess.Popen[bytes]":
    return start_replay(project, "--every", "4d")


def wait_for(process: "subprocess.Popen[bytes]", workspace: Workspace, events: int) -> None:
    """Wait until the journal of the replay has some events more, or the replay has ended."""
    target = len(Progress(workspace.progress).events) + events
    while process.poll() is None and len(Progress(workspace.progress).events) < target:
        time.sleep(0.1)


def trace_outcomes(workspace: Workspace, ids: list[str]) -> list[str]:
    """Return what `skline trace` says about 200 predictions that are drawn at random."""
    file = workspace.folder / "ids.txt"
    file.write_text("\n".join(np.random.default_rng(17).choice(ids, 200, replace=False)))
    command = (sys.executable, "-m", "skline.cli", "trace", "--ids", str(file), "--json")
    traced = json.loads(run(workspace.project, HERE, *command, **LOG).stdout)
    assert len(traced) == 200
    return [each["recomputation"]["outcome"] for each in traced.values()]


def test_a_replay_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    project = make_replayed_project(tmp_path / "project", LIVE_DAYS, POLICY)
    workspace = Workspace(project / "replays" / NAME)
    kills = iter([("service", 40), ("replay", 60), ("service", 90), ("replay", 1), ("replay", 120), ("service", 30)])
    process = start(project)
    for target, events in kills:
        wait_for(process, workspace, events)
        if target == "replay" and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start(project)
        elif target == "service":
            for status in read_statuses(workspace.project / "releases/release.json"):
                os.kill(status.pid, signal.SIGKILL)
    status = process.wait(timeout=600)
    log = (project / "replay.log").read_text()
    assert status in (0, 10), log

    predictions = read_predictions(workspace.log)
    requests = predictions["request_id"].to_pylist()
    live = count_live(LIVE_DAYS)
    assert abs(live - LIVE_DAYS * PER_DAY) < 200
    assert sorted(requests) == [f"replay-{number:08}" for number in range(live)], log
    labels = read_labels(workspace.log)
    assert sorted(labels["prediction_id"].to_pylist()) == sorted(predictions["prediction_id"].to_pylist())

    times = predictions.select(["request_id", "time"]).to_pandas().sort_values("request_id")["time"]
    table = workspace.read_live(plan := workspace.read_plan())  # type: ignore[arg-type]
    late = (times.dt.tz_localize(None).to_numpy() - table["departed_at"].to_numpy()) / np.timedelta64(1, "h")
    assert plan is not None
    assert ((late >= 0) & (late <= 1)).all(), "the log has the times of the rows, up to the rows that are sent together"

    result = ReplayResult.model_validate_json((workspace.folder / "replay.json").read_bytes())
    assert result.live is not None
    assert {each.outcome for each in result.live.trainings} == {"promoted"}, log
    assert len(set(predictions["artifact_digest"].to_pylist())) == 1 + len(result.live.trainings)
    assert [each.name for each in result.compared] == ["never", "monthly", "weekly", "hindsight"]
    assert sum(each.rows for each in result.live.periods) == live
    assert (workspace.folder / "replay.html").stat().st_size < 300_000

    assert len(result.live.trainings) == 3
    assert set(trace_outcomes(workspace, predictions["prediction_id"].to_pylist())) == {"equal"}

    assert not (project / "logs").exists(), "the log of the project is untouched"
    assert run(project, HERE, "git", "status", "--porcelain", "--", "releases", "data", "dvc.lock").stdout == ""
