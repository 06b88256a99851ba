"""Run a replay against a service: send rows and labels when their time comes, monitor, decide, and train meanwhile.

The clock is advanced here, and nowhere else. It goes as fast as the service answers; while a training runs it goes at
`TRAINING_SPEED`, so that the service has to answer during the training and while the model is replaced.
"""

import datetime as dt
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from skline.clock import SimulatedClock
from skline.errors import SklineError
from skline.locks import is_locked
from skline.logs.read import read_predictions
from skline.logs.records import from_us
from skline.retraining.journal import LOCK_NAME, Entry, read_journal
from skline.retraining.replay.client import Client, RowRequest, Sent
from skline.retraining.replay.commands import children_seconds
from skline.retraining.replay.progress import Event, Kind, Progress
from skline.retraining.replay.rows import ReplayedRows, row_number
from skline.retraining.replay.service import Service, stop_leftovers
from skline.retraining.replay.timeline import TICK, Step, steps
from skline.retraining.replay.workspace import ReplayPlan, Workspace, commit_all

#: Simulated seconds per second while a training runs.
TRAINING_SPEED = 600.0
#: With a speed, the rows of a step are sent in groups, one after each of these pauses.
PAUSE_SECONDS = 0.1
POLL_SECONDS = 0.05
#: How often a step is tried again after its service ended.
MAX_RESTARTS = 5
#: Exit statuses of `skline monitor` and `skline retrain` that are results.
MONITORED, DECIDED = (0, 10, 20), (0, 20)


class Driver:
    """Runs a prepared replay to its end, or goes on with an interrupted one.

    Parameters
    ----------
    workspace : Workspace
    plan : ReplayPlan
    speed : float or None
        Simulated seconds per second; None: as fast as the service answers.
    tell : function of str
        Called with a line after each decision.
    """

    def __init__(
        self, workspace: Workspace, plan: ReplayPlan, speed: float | None, tell: Callable[[str], None]
    ) -> None:
        self._workspace, self._plan, self._speed, self._tell = workspace, plan, speed, tell
        self._commands = workspace.commands
        self._clock = SimulatedClock.create(workspace.clock, plan.start)
        self._progress = Progress(workspace.progress)
        is_canary = workspace.read_settings().retrain.auto_promote == "canary"
        self._rows = ReplayedRows(workspace.read_live(plan), workspace.read_contract(), each_is_entity=is_canary)
        self._service = Service(self._commands)
        self._client: Client | None = None
        self._training: subprocess.Popen[bytes] | None = None
        self._training_since, self._decided_at = 0.0, plan.start
        self._predictions: dict[int, str] = {}
        self._started = time.monotonic()

    def run(self) -> Progress:
        """Run all steps that are not done; return the journal.

        Raises
        ------
        SklineError
            If a command fails, or the service ends again and again.
        """
        try:
            self._restart()
            self._note("started")
            done = self._progress.count("step")
            for number, step in enumerate(steps(self._rows.times, self._plan.schedule)):
                if number >= done:
                    self._deliver(number, step)
                if step.decision is not None and step.decision >= self._progress.count("decided"):
                    self._decide(step.decision, step.end)
            self._end_training()
            self._note("finished")
        finally:
            self._close()
        return self._progress

    def _deliver(self, number: int, step: Step) -> None:
        """Send the rows of a step, then the labels that have come due; both until the service has them all."""
        total = Sent()
        self._until_done(lambda: self._send_rows(step, total), total)
        self._clock.advance(step.end)
        labels = {
            self._predictions[each]: self._rows.label(each) for each in step.labels if each in self._predictions
        }  # fmt: skip
        self._until_done(lambda: self._require_client().label(labels), total)
        for each in step.labels:
            self._predictions.pop(each, None)
        if total.failed:
            when = f"{step.end:%Y-%m-%d %H:%M}"
            self._tell(f"{when}  {total.failed} of {total.requests} requests failed, the first: {total.failure}")
        self._note("step", number=number, requests=total.requests, failed=total.failed)

    def _until_done(self, send: Callable[[], Sent], total: Sent) -> None:
        """Send, and again after a restart of the service as long as a connection breaks."""
        for _ in range(MAX_RESTARTS):
            sent = send()
            self._predictions |= sent.predictions
            total.add(sent)
            if not sent.lost:
                return
            self._restart()
            self._note("restarted")
        raise SklineError(f"the service has ended {MAX_RESTARTS} times in one step; see {self._workspace.output}")

    def _send_rows(self, step: Step, total: Sent) -> Sent:
        """Send the rows of a step that are not in the log; with a speed, spread over the time that it takes."""
        rows = [self._rows.row(each) for each in step.rows if each not in self._predictions]
        rows = [each for each in rows if each.number not in total.rejected]
        sent = Sent()
        for group, pause in self._groups(rows, step.end):
            sent.add(self._require_client().predict(group))
            if sent.lost:
                break
            time.sleep(pause)
        return sent

    def _groups(self, rows: Sequence[RowRequest], end: dt.datetime) -> list[tuple[Sequence[RowRequest], float]]:
        """Return groups of rows with the pause after each, in seconds."""
        if self._training is not None and self._training.poll() is not None:
            self._end_training()
        speed = self._speed or (TRAINING_SPEED if self._training is not None else None)
        if speed is None:
            return [(rows, 0.0)]
        seconds = min((end - self._clock.now()) / dt.timedelta(seconds=speed), TICK / dt.timedelta(seconds=speed))
        count = max(1, min(len(rows), int(seconds / PAUSE_SECONDS)))
        bounds = [len(rows) * number // count for number in range(count + 1)]
        return [(rows[bounds[each] : bounds[each + 1]], seconds / count) for each in range(count)]

    def _decide(self, number: int, moment: dt.datetime) -> None:
        """Monitor and decide at a moment; a training goes on in its own process."""
        self._end_training()
        if number >= self._progress.count("monitored"):
            before = children_seconds()
            self._commands.run("monitor", allowed=MONITORED)
            self._note("monitored", number=number, processor_seconds=children_seconds() - before)
        self._wait_for_lock()
        if moment >= self._plan.end or self._is_decided(moment):  # a version that is trained at the end answers nothing
            self._note("decided", number=number)
            return
        self._training_since, self._decided_at = children_seconds(), moment
        decisions = len(self._entries(moment, "decision"))
        self._training = self._commands.start("retrain")
        while self._training.poll() is None and len(self._entries(moment, "decision")) == decisions:
            time.sleep(POLL_SECONDS)  # the clock stands still until the decision is written
        latest = self._entries(moment, "decision")[-1:]
        self._tell(f"{moment:%Y-%m-%d %H:%M}  {latest[0].sentence if latest else 'no decision'}")
        if not latest or latest[0].decision is None or not latest[0].decision.retrain:
            self._end_training()

    def _end_training(self) -> None:
        """Wait for the decision, or the training that follows it, and commit what it has changed."""
        if self._training is None:
            return
        status = self._training.wait()
        self._training = None
        trained = self._entries(self._decided_at, "training")
        failed = bool(trained) and trained[-1].training is not None and trained[-1].training.outcome == "failed"
        if status not in DECIDED and not failed:
            raise self._commands.failure("skline retrain", status)
        seconds = children_seconds() - self._training_since
        self._note("decided", number=self._progress.count("decided"), processor_seconds=seconds)
        for each in trained:
            self._tell(f"{each.time:%Y-%m-%d %H:%M}  {each.sentence}")
        commit_all(self._commands, f"Decide as of {self._clock.now():%Y-%m-%d %H:%M}")

    def _is_decided(self, moment: dt.datetime) -> bool:
        """Whether the decision of a moment, and the training that follows it, were done before an interruption."""
        decisions = self._entries(moment, "decision")
        if not decisions or decisions[-1].decision is None:
            return False
        if read_journal(self._workspace.log.folder).unfinished_promotion is not None:
            return False  # `skline retrain` continues it
        trained = [each for each in self._entries(moment, "training") if each.time >= decisions[-1].time]
        return not decisions[-1].decision.retrain or bool(trained)

    def _entries(self, since: dt.datetime, kind: str) -> list[Entry]:
        """Return the entries of the journal of retraining since a moment."""
        entries = read_journal(self._workspace.log.folder).entries
        return [each for each in entries if each.kind == kind and each.time >= since]

    def _wait_for_lock(self) -> None:
        """Wait for a training that an interrupted replay has left."""
        lock = self._workspace.log.folder / LOCK_NAME
        while is_locked(lock):
            time.sleep(POLL_SECONDS)

    def _restart(self) -> None:
        """Start the service again, and find in its log which rows it has."""
        self._close()
        self._service.start()
        self._client = Client(self._service.port, self._show)
        self._predictions |= self._logged()

    def _logged(self) -> dict[int, str]:
        """Return the prediction ids of the rows in the log whose labels may not be delivered, by row."""
        log = self._workspace.log
        if not Path(log.database).exists():
            return {}
        since = self._clock.now() - self._plan.label_delay - 2 * TICK
        table = read_predictions(log, since=since).select(["request_id", "prediction_id"])
        numbers = map(row_number, table["request_id"].to_pylist())
        pairs = zip(numbers, table["prediction_id"].to_pylist(), strict=True)
        return {number: prediction for number, prediction in pairs if number is not None}

    def _show(self, us: int) -> None:
        """Let the clock show the time of a row."""
        self._clock.advance(from_us(us))

    def _require_client(self) -> Client:
        if self._client is None:
            raise SklineError("the service of the replay is not running")
        return self._client

    def _note(self, kind: Kind, **values: float) -> None:
        """Append an event to the journal."""
        seconds = round(time.monotonic() - self._started, 3)
        self._progress.add(Event(kind=kind, time=self._clock.now(), seconds=seconds, **values))

    def _close(self) -> None:
        """End connections and service."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._service.stop()
        stop_leftovers(self._workspace.project)
