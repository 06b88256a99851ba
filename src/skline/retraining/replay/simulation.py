"""Simulate a policy in process: rows in the order of time, labels after a delay, monitoring, decision, training, gates.

The decision, monitoring, training, evaluation and gates are the functions of the commands and stages. What a replay
against a service has besides is HTTP, the stored log, DVC and the registry: none of them changes a prediction. Labels
of all rows arrive, after the same delay. Requests are neither rejected nor incomplete, so that alarms of quality have
no other cause than the columns themselves.
"""

import datetime as dt
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np

from skline.errors import SklineError
from skline.logs.settings import LogSettings
from skline.monitoring.job import Job
from skline.monitoring.judgement import judge_window
from skline.monitoring.label_analysis import describe_performance
from skline.monitoring.loss import ComparedRows, is_worse, is_worse_than_reference
from skline.monitoring.reference import TrainingReference
from skline.monitoring.result import WindowResult
from skline.monitoring.state import MonitorState
from skline.monitoring.window_data import Problems
from skline.release.registered import RegisteredVersion
from skline.release.verdict import Verdict
from skline.retraining import decision, journal
from skline.retraining.evidence import gather_evidence
from skline.retraining.matured import labels_complete_until
from skline.retraining.replay.memory_log import MemoryLog, predict, to_logged_rows
from skline.retraining.replay.outcome import Alarm, Training, TrainingOutcome
from skline.retraining.replay.policies import Policy
from skline.retraining.replay.stream import Stream
from skline.retraining.replay.versions import Project, Version, assess_version, fit_version
from skline.retraining.served import below_since
from skline.settings import Settings
from skline.settings.monitor import Monitor


@dataclass(frozen=True)
class Setup:
    """What all simulated policies have in common.

    Attributes
    ----------
    project : Project
        The settings and the pipeline of the model that serves at the start.
    stream : Stream
    first : Version
        The model that serves at the start.
    every : timedelta
        Time between two runs of monitoring and decision.
    training_time : timedelta
        Time from a decision to the release of the new version; less than `every`.
    """

    project: Project
    stream: Stream
    first: Version
    every: dt.timedelta = dt.timedelta(days=7)
    training_time: dt.timedelta = dt.timedelta(hours=1)

    def moments(self) -> Iterator[dt.datetime]:
        """Yield the ends of the periods, the last of which may be shorter."""
        now = self.stream.start
        while now < self.stream.end:
            now = min(now + self.every, self.stream.end)
            yield now


@dataclass
class SimulatedRun:
    """What a policy did in a simulation.

    Attributes
    ----------
    policy : Policy
    log : MemoryLog
    trainings : list of Training
    windows : dict of datetime to WindowResult
        The results of monitoring by the end of their window.
    used : set of int
        Rows of the replayed period that trainings had.
    processor_seconds : float
        Of trainings and gates, of all threads of this process.
    """

    policy: Policy
    log: MemoryLog
    trainings: list[Training] = field(default_factory=list)
    windows: dict[dt.datetime, WindowResult] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    processor_seconds: float = 0.0


class Simulation:
    """One policy in one replay.

    Parameters
    ----------
    setup : Setup
    policy : Policy
    """

    def __init__(self, setup: Setup, policy: Policy) -> None:
        self._setup, self._policy = setup, policy
        self._project = Project(policy.settings, setup.project.build)
        self._result = SimulatedRun(policy, MemoryLog(setup.stream, setup.first))
        self._journal = journal.Journal()
        self._state = MonitorState()
        self._registered = [_registered(setup.first, setup.stream.start)]

    def run(self) -> SimulatedRun:
        """Simulate the whole period."""
        setup, result = self._setup, self._result
        for now in setup.moments():
            result.log.predict_until(now)
            version = result.log.in_service(now)
            self._monitor(version, now)
            decided = self._decide(version, now)
            if decided.retrain and now < setup.stream.end:
                self._train(version, decided.sentence, now)
        return result

    def _monitor(self, version: Version, now: dt.datetime) -> None:
        """Monitor the window that ends now, and remember the result as `skline monitor` does."""
        run, settings = self._result, self._policy.settings
        known = {each.digest: each.artifact.version for each in run.log.versions}
        job = Job(
            monitor_settings(settings), version.artifact, LogSettings(), now, floors(settings), known_versions=known
        )  # fmt: skip
        result = judge_window(job, run.log.window_data(job), self._state, now, Problems())
        self._state = self._state.with_result(result, settings.monitor.keep)
        run.windows[now] = result

    def _decide(self, version: Version, now: dt.datetime) -> decision.Decision:
        monitor, until = self._policy.settings.monitor, labels_complete_until(now)
        new = self._setup.stream.matured(monitor.label_horizon, self._journal.labels_until, until)
        served = [each.as_served(since) for since, each in self._result.log.releases() if since <= now]
        evidence = gather_evidence(
            self._state, monitor, version.digest, None, self._registered, self._journal, len(new), now, is_locked=False,
            below_since=below_since(served, monitor.performance.margin),
        )  # fmt: skip
        return decision.decide(evidence, decision.Policy(self._policy.settings.retrain, monitor.persist), now)

    def _train(self, champion: Version, reason: str, now: dt.datetime) -> None:
        """Train and assess; release the version if it passed, and write the journal as `skline retrain` does."""
        setup, run, policy = self._setup, self._result, self._policy
        horizon, window = policy.settings.monitor.label_horizon, policy.settings.source.window
        chosen = setup.stream.training_rows(horizon, now, window)
        number = len(self._registered) + 1
        outcome: TrainingOutcome = "failed"
        version, message = None, ""
        started = time.process_time()
        try:
            version = fit_version(self._project, setup.stream, chosen, number, champion)
            verdict = assess_version(self._project, setup.stream, version, champion)
        except SklineError as error:
            message = str(error)
        else:
            message = f"{verdict.summary()} {verdict.failures()}".strip()
            outcome = _outcome_of(verdict, {each.artifact_sha256 for each in self._registered})
        run.processor_seconds += time.process_time() - started
        if version is not None:
            run.used |= set(chosen[chosen >= setup.stream.first].tolist())
        if outcome == "promoted" and version is not None:
            run.log.release(version, now + setup.training_time)
        if outcome in ("promoted", "undecided") and version is not None:
            self._registered.append(_registered(version, now))
        run.trainings.append(
            Training(
                time=now, reason=reason, action=policy.settings.retrain.action, outcome=outcome,
                rows=version.rows if version else 0,
                model=version.name if version and outcome in ("promoted", "undecided") else "", message=message,
            )
        )  # fmt: skip
        kept: journal.Outcome = "registered" if outcome == "undecided" else outcome  # type: ignore[assignment]
        entry = journal.Entry(
            time=now, who="simulation", kind="training",
            training=journal.Training(
                outcome=kept, labels_until=labels_complete_until(now), snapshot=f"simulated-{number}", message=message
            ),
        )  # fmt: skip
        self._journal = self._journal.model_copy(update={"entries": (*self._journal.entries, entry)})


def _outcome_of(verdict: Verdict, registered: Collection[str]) -> TrainingOutcome:
    """Return what becomes of a version with this verdict; `registered` are the digests of the versions before it."""
    if not verdict.passed:
        return "rejected"
    if verdict.artifact_sha256 == verdict.champion_sha256:
        return "unchanged"
    if not verdict.undecided_gates:
        return "promoted"
    return "unchanged" if verdict.artifact_sha256 in registered else "undecided"


def simulate(setup: Setup, policy: Policy) -> SimulatedRun:
    """Simulate the replayed period under a policy."""
    if not dt.timedelta(0) <= setup.training_time < setup.every:
        raise SklineError(
            f"a simulated training takes {setup.training_time}, and the next decision follows after {setup.every}: let "
            "a training take less time"
        )
    return Simulation(setup, policy).run()


def alarms(setup: Setup, run: SimulatedRun) -> tuple[Alarm, ...]:
    """Return the alarms of monitoring, and whether the rows of the following period confirm them."""
    found = []
    for now, window in run.windows.items():
        if window.state == "alarm":
            parts = tuple(part for part, state in window.states.items() if state == "alarm")
            confirmed = is_confirmed(setup, run.policy.settings, run.log.in_service(now), now)
            found.append(Alarm(time=now, parts=parts, is_true=confirmed))
    return tuple(found)


def monitor_settings(settings: Settings) -> Monitor:
    """Return the settings of monitoring without what is outside of the log."""
    operations = settings.monitor.operations.model_copy(update={"prometheus": None})
    return settings.monitor.model_copy(update={"operations": operations})


def floors(settings: Settings) -> dict[str, float]:
    """Return the limits of the metrics, as `skline monitor` takes them."""
    limits = settings.monitor.performance.floors
    return settings.gates.floors if limits is None else limits


def is_confirmed(setup: Setup, settings: Settings, version: Version, now: dt.datetime) -> bool | None:
    """Return whether a version is worse than its reference on the rows of the following period, by all their labels.

    Returns
    -------
    True if the main metric is worse than on the test part beyond chance, or the whole interval of a metric is beyond
    its floor; None if there are fewer labels than `monitor.performance.min_labels`.
    """
    stream = setup.stream
    end = min(now + setup.every, stream.end)
    rows = stream.between(now, end)
    count = rows.stop - rows.start
    if count < settings.monitor.performance.min_labels:
        return None
    scores, digests = predict(stream, rows, version), np.full(count, version.digest, dtype=object)
    predicted = to_logged_rows(stream, rows, scores, digests, np.ones(count, dtype=bool))
    reference = TrainingReference.of(version.artifact)
    measured = describe_performance(
        predicted, stream.contract, reference, settings.monitor, floors(settings), (now, end)
    )  # fmt: skip
    verdicts = []
    for metric in measured.metrics:
        if metric.floor is not None:
            verdicts.append(is_worse(metric, metric.floor))
        if metric.name == measured.metric:
            verdicts.append(is_worse_than_reference(metric, rows=ComparedRows.of(measured)))
    return None if all(each is None for each in verdicts) else any(verdicts)


def _registered(version: Version, time: dt.datetime) -> RegisteredVersion:
    return RegisteredVersion(
        time=time, model="simulation", version=version.name, artifact_sha256=version.digest, contract_sha256="",
        git_commit=None, verdict=None, verdict_sha256=None,
    )  # fmt: skip
