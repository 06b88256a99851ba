"""Compare policies of retraining on the same rows: simulate each, and measure it against the first."""

import datetime as dt
import time
from collections.abc import Sequence

from skline.evaluation.metrics import lower_is_better
from skline.monitoring.estimates import Estimate
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
    """
    stream, seed = setup.stream, setup.project.settings.train.seed
    periods = period_bounds(setup)
    baseline = None if replayed is None else measure(stream, periods, replayed, metric, seed)
    outcomes = []
    for policy in policies:
        run = simulate(setup, policy)
        measured = measure(stream, periods, run.log.scores(stream.live), metric, seed)
        outcomes.append(_outcome(setup, policy, run, measured, _gain(measured, baseline)))
        baseline = measured if baseline is None else baseline
    if with_hindsight:
        started = time.process_time()
        hindsight = predict_in_hindsight(setup.project, stream, periods, metric, NEAR)
        outcomes.append(
            PolicyOutcome(
                name=HINDSIGHT,
                description=hindsight.description,
                periods=to_periods(stream, periods, hindsight.measured, [(HINDSIGHT, None)] * len(periods), {}),
                labels_used=len(stream.rows) - stream.first,
                processor_seconds=time.process_time() - started,
                mean=hindsight.measured.mean(),
                gain=_gain(hindsight.measured, baseline),
            )
        )
    return tuple(outcomes)


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
    return Estimate() if baseline is None else measured.gain(baseline)


def _outcome(setup: Setup, policy: Policy, run: SimulatedRun, measured: Measurement, gain: Estimate) -> PolicyOutcome:
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
        gain=gain,
    )
