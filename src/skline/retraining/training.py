"""Train: add a snapshot of the matured labels, run the pipeline, and read its verdict and the registered version.

Each step can be repeated. A process that is killed leaves no half file: the next one finds the snapshot, and DVC runs
the stages that have not run.
"""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from skline import paths
from skline.artifact import read_digest
from skline.counting import counted
from skline.errors import SklineError
from skline.feedback import Snapshot, list_snapshots
from skline.files import read_json_lines
from skline.logs.settings import LogSettings
from skline.partition import PARTS, assign_parts
from skline.registry.working_tree import RESULTS
from skline.release.registered import RegisteredVersion
from skline.release.verdict import Verdict, read_verdict
from skline.retraining.action import require_same_fit
from skline.retraining.journal import Training
from skline.retraining.matured import read_matured
from skline.retraining.snapshot import SnapshotContent, build_content, clean_up, write_snapshot
from skline.retraining.usable import describe_unusable
from skline.settings import Settings
from skline.stages.declared import Declared

#: What a training changes, and git keeps.
COMMITTED = (paths.PARAMS.as_posix(), paths.FEEDBACK.as_posix(), *RESULTS)


class TrainingResult(NamedTuple):
    """The training, and the verdict on its candidate."""

    training: Training
    verdict: Verdict


def add_snapshot(
    settings: Settings, log: LogSettings, declared: Declared, until: dt.datetime
) -> tuple[Snapshot, SnapshotContent] | None:
    """Add the labels that matured since the last snapshot; None if there are none.

    Raises
    ------
    SklineError
        If none of the rows keeps the contract, or the log cannot be read.
    """
    clean_up(paths.FEEDBACK)
    snapshots = list_snapshots(paths.FEEDBACK)
    since = snapshots[-1].until if snapshots else None
    if since is not None and until <= since:
        return None
    matured = read_matured(log, settings.monitor.label_horizon, since, until)
    if not matured.rows.num_rows:
        return None
    content = build_content(matured, declared, settings.monitor.performance.full_coverage)
    if content.rows.empty:
        raise SklineError(describe_unusable(content, declared.contract))
    first = content.rows["log.predicted_at"].min().to_pydatetime().replace(microsecond=0)
    snapshot = write_snapshot(paths.FEEDBACK, content, since or first, until)
    clean_up(paths.FEEDBACK)
    return snapshot, content


def describe_snapshot(
    snapshot: Snapshot, content: SnapshotContent, declared: Declared, settings: Settings
) -> list[str]:
    """Return what the snapshot holds, in which parts its rows are, and what was left out."""
    parts = assign_parts(content.rows, declared.contract, settings.split)
    counts = {name: int((parts == index).sum()) for index, name in enumerate(PARTS)}
    lines = [
        f"{snapshot.path}: {counted(len(content.rows), 'row')}, "
        + ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)
    ]
    if content.left_out:
        left_out = counted(content.left_out, "row")
        lines.append(f"left out because of the contract: {left_out} ({'; '.join(content.broken_rules)})")
    if content.superseded:
        lines.append(f"left out because their event has a newer row: {counted(content.superseded, 'row')}")
    if not counts["train"]:
        lines.append("note: none of them is in the training part; the settings of split in params.yaml decide it")
    return lines


def describe_removal(snapshot: Snapshot) -> str:
    """Say that the rows of a snapshot stay after a training that failed, and how a person takes them back."""
    return (
        f"note: the rows of {snapshot.path} stay part of the training table, and every `dvc repro` reads them. To take "
        f"them back, delete this file and {snapshot.path.name}.dvc next to it, and run `dvc repro`; the next training "
        "adds their labels again"
    )


def run_pipeline(
    settings: Settings, until: dt.datetime, snapshot: Snapshot | None, served: str, lock: int
) -> TrainingResult:
    """Run `dvc repro`, and read its result.

    The stages up to the verdict run first, so that a verdict that is read is that of this run. A recalibration stops
    before a fit.

    Parameters
    ----------
    settings : Settings
    until : datetime
        The labels that matured until then are in the snapshots.
    snapshot : Snapshot or None
        The one that was added.
    served : str
        Digest of the artifact in service.
    lock : int
        Descriptor of the lock file: a pipeline that outlives this process keeps the lock.

    Raises
    ------
    SklineError
        If a stage fails.
    """
    name = None if snapshot is None else snapshot.path.name
    if settings.retrain.action == "recalibrate":
        _repro("split", lock=lock)
        require_same_fit()
    _repro("assess", lock=lock)
    verdict, digest = read_verdict(paths.VERDICT), read_digest(paths.CANDIDATE_DIGEST)
    before = {each.artifact_sha256 for each in read_json_lines(paths.REGISTERED, RegisteredVersion).values}
    common = {"labels_until": until, "snapshot": name, "artifact_sha256": digest}
    if not verdict.passed:
        message = f"{verdict.summary()} {verdict.failures()}"
        return TrainingResult(Training(outcome="rejected", message=message, **common), verdict)
    _repro(lock=lock)
    lines = read_json_lines(paths.REGISTERED, RegisteredVersion).values
    line = next((each for each in reversed(lines) if each.artifact_sha256 == digest), None)
    if line is None:
        raise SklineError(
            f"{paths.REGISTERED} does not list the artifact {digest[:12]}…, which passed its gates and was registered: "
            "lines of the file are missing. Restore it from git, or run `dvc repro --force --single-item register`"
        )
    version, message = f"{settings.project.name}/{line.version}", verdict.summary()
    if digest == served or digest in before:
        message = f"this version was there before the training. {message}"
        return TrainingResult(Training(outcome="unchanged", version=version, message=message, **common), verdict)
    return TrainingResult(Training(outcome="registered", version=version, message=message, **common), verdict)


def _repro(*arguments: str, lock: int) -> None:
    """Run `dvc repro`, as a user does, with the programs of this environment; its output is this process's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "dvc", "repro", *arguments]
    sys.stdout.flush()
    done = subprocess.run(command, env=os.environ | {"PATH": path}, pass_fds=(lock,), check=False)  # noqa: S603
    if done.returncode:
        raise SklineError(f"`{' '.join(('dvc', 'repro', *arguments))}` failed, for the reason above")
