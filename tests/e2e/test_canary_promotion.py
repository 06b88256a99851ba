"""`skline retrain` begins a canary and promotes it, each once, whenever it is killed."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from skline.ids import new_prediction_ids
from skline.logs.records import to_us
from skline.logs.settings import LogSettings
from skline.logs.stores import open_store
from skline.release.aborted import FILE_NAME, AbortedCanaries
from skline.release.manifest import Release
from skline.release.store import ReleaseStore
from skline.retraining.journal import Entry, Training, append_entry, read_journal
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.skline.release.project import Project, make

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LOG = {"SKLINE_LOG__DATABASE": "logs/predictions.db", "SKLINE_LOG__PARTITIONS": "logs/predictions"}
#: Runs `skline retrain`, and kills itself after it has appended a line to a journal for the given number of times.
KILLED = """
import os, signal, sys
from skline import cli
from skline.release import journal as releases
from skline.retraining import journal as trainings

lines, append = [], releases.append_line

def append_and_die(path, line):
    append(path, line)
    lines.append(line)
    if len(lines) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

releases.append_line = trainings.append_line = append_and_die
arguments = cli.parser().parse_args(["retrain"])
sys.exit(arguments.run(arguments))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project that serves version 1, and whose last training registered version 2, to be tried by a canary."""
    first = demo.package(tmp_path / "first")
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    second = demo.package(tmp_path / "second", fitted)
    made = make(tmp_path / "p", retrain='{auto_promote: canary, canary: {percents: [50], every: "1s"}}')
    made.register(first, "1")
    made.register(second, "2", champion=first.digest)
    made.run("promote", "1")
    log_predictions(made, 1, None)
    now = dt.datetime.now(dt.UTC)
    training = Training(
        outcome="registered", labels_until=now, artifact_sha256=second.digest, version="demo/2",
        champion_sha256=first.digest, promotion="canary",
    )  # fmt: skip
    append_entry(made.folder / "logs", Entry(time=now, who="test", kind="training", training=training))
    return made


def store_of(project: Project) -> ReleaseStore:
    return ReleaseStore(project.folder / "releases")


def log_predictions(project: Project, count: int, release: Release | None) -> None:
    """Log predictions of each arm of a release, as a service does; without a release, those of the champion."""
    path = project.folder / "logs"
    store = open_store(LogSettings(database=str(path / "predictions.db"), partitions=path / "predictions"))
    now, rows = to_us(dt.datetime.now(dt.UTC)), list[Any]()
    arms = [None] if release is None or release.experiment is None else ["champion", "challenger"]
    for arm in arms:
        digest = "0" * 64
        if arm is not None and release is not None:
            digest = next(each.sha256 for each in release.arms if each.name == arm)
        for number, name in enumerate(new_prediction_ids(count)):
            entity, bucket = f"{arm}-{number}", 6_000 if arm == "champion" else 1_000
            experiment = release.experiment.name if arm is not None and release and release.experiment else None
            rows.append((
                name, now + number, "demo", digest, "plan", orjson.dumps({}).decode(), "true",
                '{"false":0.4,"true":0.6}', 900, name, entity, None, 0, arm or "champion", experiment, arm,
                bucket if arm else None, None,
            ))  # fmt: skip
    store.write("predictions", rows)
    store.close()


def retrain(project: Project, kill_after: int | None = None) -> int:
    """Run the command; return its exit status, that of a killed process is -9."""
    command = [sys.executable, "-c", KILLED, str(kill_after or 0)]
    environment = os.environ | LOG | {"MLFLOW_TRACKING_URI": project.uri}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode


def actions(project: Project) -> list[str]:
    """Return the actions of the releases that were in force, the oldest first."""
    return [each.action for each in store_of(project).history()][::-1]


def outcomes(project: Project) -> list[str]:
    return [each.training.outcome for each in read_journal(project.folder / "logs").entries if each.training]


def test_killed_command_begins_and_promotes_a_canary_once(project: Project) -> None:
    assert retrain(project, kill_after=1) == -signal.SIGKILL, "the release is in its journal, and not in force"
    assert actions(project) == ["promote"]
    assert retrain(project, kill_after=2) == -signal.SIGKILL, "the canary runs, and its line was just written"
    assert actions(project) == ["promote", "canary"]
    assert retrain(project) == 0
    assert outcomes(project) == ["registered", "canary"], "it is over, and no guard was checked"
    release = store_of(project).current()
    assert release is not None
    log_predictions(project, 300, release)
    assert retrain(project, kill_after=1) == -signal.SIGKILL
    assert actions(project) == ["promote", "canary"]
    for _ in range(2):
        assert retrain(project) == 0
    assert actions(project) == ["promote", "canary", "promote"]
    assert outcomes(project) == ["registered", "canary", "promoted"]
    served = store_of(project).current()
    assert served is not None
    assert (served.champion.version, served.experiment) == ("demo/2", None)


def test_canary_that_a_service_aborted_is_rejected(project: Project) -> None:
    assert retrain(project) == 0
    release = store_of(project).current()
    assert release is not None
    assert release.experiment is not None
    assert release.challenger is not None
    log_predictions(project, 300, release)
    AbortedCanaries(project.folder / "logs" / FILE_NAME).add(release.experiment, release.challenger, "errors: too many")
    assert retrain(project, kill_after=1) == -signal.SIGKILL
    assert retrain(project) == 0
    assert retrain(project) == 0
    assert actions(project) == ["promote", "canary", "abort"]
    assert outcomes(project) == ["registered", "canary", "rejected"]
    served = store_of(project).current()
    assert served is not None
    assert served.champion.version == "demo/1"
