"""What a replay against a service results in, from its log, its releases, and the states of monitoring."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skline import paths
from skline.artifact import Artifact
from skline.contract.spec import Contract
from skline.logs.read import read_predictions, values
from skline.monitoring.state import MonitorState, read_state
from skline.release.store import ReleaseStore
from skline.retraining.journal import Entry, read_journal
from skline.retraining.journal import Training as JournalTraining
from skline.retraining.replay.measures import Measurement, to_periods
from skline.retraining.replay.outcome import Alarm, PolicyOutcome, Training, TrainingOutcome
from skline.retraining.replay.policy_file import PolicyFile
from skline.retraining.replay.progress import Progress
from skline.retraining.replay.rows import row_number
from skline.retraining.replay.simulation import Setup, is_confirmed
from skline.retraining.replay.versions import Version
from skline.retraining.replay.workspace import Workspace
from skline.scoring.scores import Scores


def read_replayed(workspace: Workspace) -> pa.Table:
    """Return the predictions of the replayed rows, in the order of the rows, with their number as `row`."""
    table = read_predictions(workspace.log).select(
        ["request_id", "time", "prediction", "probabilities", "artifact_digest"]
    )
    numbers = [row_number(text) for text in table["request_id"].to_pylist()]
    table = table.append_column("row", pa.array(numbers, type=pa.int64()))
    return table.filter(pa.array([number is not None for number in numbers])).sort_by("row")


def to_scores(replayed: pa.Table, contract: Contract) -> Scores:
    """Return logged predictions as the scores of a model, row by row."""
    predictions = np.array(values(replayed["prediction"]))
    names = contract.class_names
    if names is None:
        return Scores(predictions.astype(np.float64), None)
    by_class = values(replayed["probabilities"])
    return Scores(predictions, np.array([[each[name] for name in names] for each in by_class], dtype=np.float64))


def live_outcome(
    workspace: Workspace,
    setup: Setup,
    policy: PolicyFile,
    periods: Sequence[tuple[dt.datetime, dt.datetime]],
    measured: Measurement,
    replayed: pa.Table,
    progress: Progress,
) -> PolicyOutcome:
    """Return what the policy did, and how good the predictions of the service were.

    Parameters
    ----------
    workspace : Workspace
    setup : Setup
        Of the simulations of the same period.
    policy : PolicyFile
    periods : sequence of (datetime, datetime)
    measured : Measurement
        Of the predictions of the service.
    replayed : Table
        From `read_replayed`.
    progress : Progress
    """
    state = read_state(workspace.log.folder)
    promotes = setup.project.settings.retrain.auto_promote != "never"
    entries = read_journal(workspace.log.folder).entries
    names = ReleaseStore(workspace.project / paths.RELEASES).known_versions()
    digests = [_main_digest(setup, replayed, start, end) for start, end in periods]
    return PolicyOutcome(
        name=policy.name,
        description=policy.description or "the settings of params.yaml",
        periods=to_periods(
            setup.stream,
            periods,
            measured,
            [(names.get(digest or "", ""), digest) for digest in digests],
            {each.end: each.state for each in state.windows},
        ),
        trainings=tuple(trainings_of(entries, promotes=promotes)),
        alarms=tuple(_alarms(workspace, setup, state)),
        labels_used=sum(
            pq.read_metadata(path).num_rows for path in (workspace.project / paths.FEEDBACK).glob("*.parquet")
        ),
        processor_seconds=progress.training_seconds,
        mean=measured.mean(),
    )


def trainings_of(entries: Sequence[Entry], *, promotes: bool) -> list[Training]:
    """Return the trainings of a journal; one whose version was promoted later is one training.

    One that leads to the version of the training before it is another training, unless it is promoted afterwards.
    `promotes` is whether the settings promote a version that passed every gate.
    """
    trainings: list[Training] = []
    reason = ""
    for entry in entries:
        if entry.decision is not None and entry.decision.retrain:
            reason = entry.decision.sentence
        if entry.training is None:
            continue
        result = entry.training
        outcome = _outcome(result, promotes=promotes)
        training = Training(
            time=entry.time, reason=reason, outcome=outcome, model=result.version or "", message=result.message
        )  # fmt: skip
        is_new = outcome == "unchanged" or not training.model
        if is_new or not trainings or trainings[-1].model != training.model:
            trainings.append(training)
            continue
        trainings[-1] = trainings[-1].model_copy(update={"outcome": "aborted" if outcome == "rejected" else outcome})
    return trainings


def packaged_version(setup: Setup, artifact: Artifact, number: int) -> Version:
    """Return a released artifact as a version that can predict the rows of the replay."""
    none = np.zeros(0, dtype=np.intp)
    is_fitted = np.zeros(len(setup.stream.rows), dtype=bool)
    return Version(
        number=number, artifact=artifact, pipeline=artifact.load_pipeline(), fitted=is_fitted, used=none,
        rows=0, metrics={}, details={},
    )  # fmt: skip


def _outcome(training: JournalTraining, *, promotes: bool) -> TrainingOutcome:
    """Return what became of a training; one that the settings would promote, and do not, has an undecided gate."""
    if training.outcome == "canary":
        return "registered"
    if training.outcome == "registered" and promotes and training.promotion is None:
        return "undecided"
    return training.outcome


def _main_digest(setup: Setup, replayed: pa.Table, start: dt.datetime, end: dt.datetime) -> str | None:
    """Return the digest of the artifact that made most of the predictions of a period; None without predictions."""
    rows, first = setup.stream.between(start, end), setup.stream.first
    digests = replayed["artifact_digest"].slice(rows.start - first, rows.stop - rows.start).to_pylist()
    return max(set(digests), key=digests.count) if digests else None


def _alarms(workspace: Workspace, setup: Setup, state: MonitorState) -> list[Alarm]:
    """Return the alarms of monitoring, and whether the rows of the following period confirm them."""
    versions: dict[str, Version] = {}
    found = []
    for window in state.windows:
        if window.state != "alarm":
            continue
        digest = window.artifact_digest
        if digest not in versions:
            artifact = Artifact.open(workspace.project / paths.RELEASED / digest, digest)
            versions[digest] = packaged_version(setup, artifact, len(versions) + 1)
        parts = tuple(str(part) for part, each in window.states.items() if each == "alarm")
        is_true = is_confirmed(setup, setup.project.settings, versions[digest], window.end)
        found.append(Alarm(time=window.end, parts=parts, is_true=is_true))
    return found
