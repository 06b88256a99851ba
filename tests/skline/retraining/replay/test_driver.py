"""A replay ends with an error if a training was killed, whatever became of earlier ones."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from skline.clock import SimulatedClock
from skline.errors import SklineError
from skline.retraining.journal import Entry, Training, append_entry
from skline.retraining.replay.driver import Driver
from skline.retraining.replay.progress import Progress
from skline.retraining.replay.workspace import Workspace

START = dt.datetime(2013, 7, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def driver(folder: Path, decided_at: dt.datetime) -> Driver:
    """Return a driver that waits for a training, which was killed; another one had failed a day after the start."""
    workspace = Workspace(folder)
    workspace.project.mkdir(parents=True)
    workspace.output.write_text("killed\n")
    training = Training(outcome="failed", labels_until=START, message="`dvc repro` failed")
    append_entry(workspace.log.folder, Entry(time=START + DAY, who="a", kind="training", training=training))
    subprocess.run(["git", "init", "-q", str(workspace.project)], check=True)
    made = Driver.__new__(Driver)
    vars(made).update(
        _workspace=workspace, _commands=workspace.commands, _progress=Progress(workspace.progress), _started=0.0,
        _clock=SimulatedClock.create(folder / "clock", START + 2 * DAY), _tell=print, _training_since=0.0,
        _decided_at=decided_at,
        _training=subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]),
    )  # fmt: skip
    return made


def test_a_killed_training_is_not_taken_for_an_earlier_one_that_failed(tmp_path: Path) -> None:
    with pytest.raises(SklineError, match=r"`skline retrain` ended with status -9"):
        driver(tmp_path / "later", START + 2 * DAY)._end_training()


def test_a_training_that_has_failed_is_a_result(tmp_path: Path) -> None:
    made = driver(tmp_path / "same", START + DAY)
    made._end_training()
    assert made._progress.count("decided") == 1
