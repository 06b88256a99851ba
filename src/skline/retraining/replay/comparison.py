"""Compare policies of retraining on the same rows: simulate each, and measure it against the first."""

import datetime as dt
import time
from collections.abc import Sequence
from typing import NamedTuple

from skline.evaluation.metrics import lower_is_better
from skline.monitoring.estimates import Estimate
from skline.parallel import LOCAL, Workers
from skline.retraining.replay.hindsight import predict_in_hindsight
from skline.retraining.replay.measures import Measurement, measure, to_periods
from skline.retraining.replay.outcome import PolicyOutcome, ReplayResult
from skline.retraining.replay.policies import Policy
from skline.retraining.replay.simulation import Setup, SimulatedRun, alarms, simulate
from skline.scoring.scores import Scores

HINDSIGHT = "hindsight"
#: Rows within this time of a block are near it, for hindsight.
NEAR = dt.timedelta(days=56)


def compare_policies(
    setup: Setup,
    policies: Sequence[Policy],
    metric: str,
    replayed: Scores | None = None,
    *,
    with_hindsight: bool = True,
    workers: Workers = LOCAL,
) -> tuple[PolicyOutcome, ...]:
    """Simulate policies, and measure them on the same rows.

    Parameters
    ----------
    setup : Setup
    policies : sequence of Policy
    metric : str
    replayed : Scores, optional
        The predictions of a replay against a service, one for each replayed row in the order of the stream: then gains
        are over it. By default they are over the first policy.
    with_hindsight : bool
    workers : Workers
        Simulate the policies.
    """
    # Hindsight takes longest: it begins first, so that no worker is idle at the end.
    tasks: list[Policy | None] = [*([None] if with_hindsight else []), *policies]
    results = list(workers.map(_simulate_and_measure, (setup, metric), tasks))
    results = [*results[len(tasks) - len(policies) :], *results[: len(tasks) - len(policies)]]
    if replayed is None:
        baseline = results[0].measured
    else:
        baseline = measure(setup.stream, period_bounds(setup), replayed, metric, setup.project.settings.train.seed)
    return tuple(each.outcome.model_copy(update={"gain": _gain(each.measured, baseline)}) for each in results)


class _Result(NamedTuple):
    """The outcome of a policy without its gain, and the metric that the gain is computed from."""

    outcome: PolicyOutcome
    measured: Measurement


def _simulate_and_measure(data: tuple[Setup, str], policy: Policy | None) -> _Result:
    """Simulate a policy; None is hindsight."""
    setup, metric = data
    if policy is None:
        return _hindsight(setup, metric)
    run = simulate(setup, policy)
    stream = setup.stream
    scores = run.log.scores(stream.live)
    measured = measure(stream, period_bounds(setup), scores, metric, setup.project.settings.train.seed)
    return _Result(_outcome(setup, policy, run, measured), measured)


def _hindsight(setup: Setup, metric: str) -> _Result:
    stream, periods, started = setup.stream, period_bounds(setup), time.process_time()
    hindsight = predict_in_hindsight(setup.project, stream, periods, metric, NEAR)
    outcome = PolicyOutcome(
        name=HINDSIGHT,
        description=hindsight.description,
        periods=to_periods(stream, periods, hindsight.measured, [(HINDSIGHT, None)] * len(periods), {}),
        labels_used=len(stream.rows) - stream.first,
        processor_seconds=time.process_time() - started,
        mean=hindsight.measured.mean(),
    )
    return _Result(outcome, hindsight.measured)


def period_bounds(setup: Setup) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return start and end of each period of the replay."""
    ends = list(setup.moments())
    return list(zip([setup.stream.start, *ends[:-1]], ends, strict=True))


def to_result(
    setup: Setup, metric: str, compared: Sequence[PolicyOutcome], live: PolicyOutcome | None = None
) -> ReplayResult:
    """Return the result of a replay."""
    settings, stream = setup.project.settings, setup.stream
    return ReplayResult(
        project=settings.project.name,
        title=settings.project.title,
        start=stream.start,
        end=stream.end,
        metric=metric,
        better="lower" if lower_is_better(metric) else "higher",
        label_delay=stream.label_delay,
        live=live,
        compared=tuple(compared),
        seed=settings.train.seed,
    )


def _gain(measured: Measurement, baseline: Measurement | None) -> Estimate:
    return Estimate() if baseline is None or baseline is measured else measured.gain(baseline)


def _outcome(setup: Setup, policy: Policy, run: SimulatedRun, measured: Measurement) -> PolicyOutcome:
    stream, periods = setup.stream, period_bounds(setup)
    versions = [run.log.version_of(stream.between(start, end)) for start, end in periods]
    return PolicyOutcome(
        name=policy.name,
        description=policy.description,
        periods=to_periods(
            stream,
            periods,
            measured,
            [(version.name, version.digest) for version in versions],
            {end: window.state for end, window in run.windows.items()},
        ),
        trainings=tuple(run.trainings),
        alarms=alarms(setup, run),
        labels_used=len(run.used),
        processor_seconds=run.processor_seconds,
        mean=measured.mean(),
    )
