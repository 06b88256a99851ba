"""Report on an experiment from the logs: what can be concluded so far, and what cannot."""

import datetime as dt
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.read import join_labels, values
from skline.logs.records import to_us
from skline.release.canary import CanaryMonitor, is_counted
from skline.release.comparison import compare_predictions, format_comparison, score_of
from skline.release.experiment import ALPHA, BUCKETS, Design
from skline.release.looks import Look, LookStore, planned_entities, take_looks
from skline.release.manifest import Release
from skline.release.sequential import MIN_SAMPLE_RATIO_P, sample_ratio_p
from skline.release.units import ARMS, Units, collect_units


@dataclass(frozen=True)
class ExperimentReport:
    """Lines of text, the same figures as JSON, and the guard that a canary breaches."""

    lines: list[str]
    figures: dict[str, Any]
    breach: str | None = None


def report_experiment(
    release: Release,
    predictions: pa.Table,
    labels: pa.Table,
    looks: LookStore,
    now: dt.datetime,
    share_changes: Sequence[dt.datetime] = (),
) -> ExperimentReport:
    """Report on the experiment of a release; looks of an A/B test that have become possible are written down.

    Parameters
    ----------
    release : Release
        It must have an experiment.
    predictions : pyarrow.Table
        The log from the experiment's start on, as `skline.logs.read.read_predictions` returns it.
    labels : pyarrow.Table
        As `skline.logs.read.read_labels` returns them.
    looks : LookStore
    now : datetime
        With a time zone.
    share_changes : sequence of datetime
        When a canary's share was set or changed, see `skline.release.journal.share_changes`.
    """
    experiment, arm = release.experiment, release.challenger
    assert experiment is not None  # noqa: S101 - the caller checks
    assert arm is not None  # noqa: S101
    rows = predictions.filter(pc.equal(predictions["experiment"], experiment.name))
    title = (
        f"{experiment.kind} {experiment.name}: {arm.version} against {release.champion.version}, since "
        f"{experiment.started_at:%Y-%m-%d %H:%M} UTC"
    )
    if experiment.kind == "shadow":
        report = _report_shadow(join_labels(rows, labels))
    elif experiment.design is not None:
        share, units = arm.weight / BUCKETS, collect_units(experiment.design, rows, labels)
        taken = looks.read(experiment)
        if is_valid(units, share):
            new = take_looks(experiment.design, share, units, taken, to_us(now))
            taken = looks.record(experiment, new, now)
        report = _report_test(experiment.design, share, units, taken, to_us(now))
    else:
        report = _report_canary(release, rows, share_changes)
    figures = {"experiment": experiment.name, "kind": experiment.kind, "challenger": arm.version} | report.figures
    return ExperimentReport([title, *report.lines], figures, report.breach)


def is_valid(units: Units, share: float) -> bool:
    """Return whether the arms' sizes fit the challenger's planned share."""
    champions, challengers = (int(units.in_arm(arm).sum()) for arm in ARMS)
    return sample_ratio_p(champions, challengers, share) >= MIN_SAMPLE_RATIO_P


def _report_shadow(rows: pa.Table) -> ExperimentReport:
    """Compare each prediction with the shadow's prediction for the same row."""
    ids = rows["prediction_id"].to_pylist()
    predictions = list(zip(values(rows["prediction"]), values(rows["probabilities"]), strict=True))
    labels = values(rows["label"])
    positions = {prediction_id: index for index, prediction_id in enumerate(ids)}
    pairs = [
        (positions[prediction_id.removesuffix(".shadow")], index)
        for prediction_id, index in positions.items()
        if prediction_id.endswith(".shadow") and prediction_id.removesuffix(".shadow") in positions
    ]
    if not pairs:
        return ExperimentReport(["no conclusion yet: no row was scored by both models"], {"rows": 0})
    comparison = compare_predictions(
        [predictions[champion] for champion, _ in pairs],
        [predictions[shadow] for _, shadow in pairs],
        [labels[champion] for champion, _ in pairs],
    )
    return ExperimentReport(format_comparison(comparison), comparison)


@dataclass(frozen=True)
class LoggedRequest:
    """The rows of one arm in a logged request.

    Attributes
    ----------
    time : datetime
    arm : str
    entities : list of int
        Without repetitions; entities are numbered.
    observed : int or None
        The entity whose observation the request is; None if it is in the other arm.
    scores : list of float, or None
        The score of each entity's first row; None if the arm's model did not predict.
    latency_us : int or None
        None for a batch.
    """

    time: dt.datetime
    arm: str
    entities: list[int]
    observed: int | None
    scores: list[float] | None
    latency_us: int | None


def _report_canary(release: Release, rows: pa.Table, share_changes: Sequence[dt.datetime]) -> ExperimentReport:
    """Check the guards on the rows of all processes, in the order and at the moments in which a service does it."""
    experiment = release.experiment
    assert experiment is not None  # noqa: S101 - the caller checks
    guards = experiment.guards
    requests = logged_requests(release, rows)
    scores = np.array([score for request in requests for score in request.scores or ()])
    bounds = np.unique(np.quantile(scores, np.linspace(0.05, 0.95, 19))).tolist() if len(scores) else []
    monitor = CanaryMonitor(guards, bounds)
    restarts = sorted(share_changes)
    counts = {arm: {"requests": 0, "fallbacks": 0, "slow": 0} for arm in ARMS}
    breach = None
    for request in requests:
        while restarts and restarts[0] <= request.time:
            restarts.pop(0)
            monitor.restart()
        slow = None if request.latency_us is None else request.latency_us > guards.slow_ms * 1000
        found = monitor.observe(
            request.entities,
            is_challenger=request.arm == "challenger",
            observed=request.observed,
            slow=slow,
            scores=request.scores,
        )
        breach = breach or found
        count = counts[request.arm]
        count["requests"] += 1
        count["fallbacks"] += request.scores is None
        count["slow"] += bool(slow)
    lines = [
        f"{name}: {count['requests']:,} requests, {count['fallbacks']:,} served by another model, {count['slow']:,} "
        f"slower than {guards.slow_ms:g} ms"
        for name, count in counts.items()
    ]
    fewest = min(monitor.champion.total, monitor.challenger.total)
    if breach is not None:
        lines.append(f"the challenger breaches a guard: {breach}")
    elif not monitor.checks:
        lines.append(f"no conclusion yet: {fewest:,} of {guards.min_rows:,} observations of each arm")
    else:
        lines.append("no guard is breached; a canary does not show whether the challenger is better")
    return ExperimentReport(lines, counts | {"checks": monitor.checks, "breach": breach}, breach)


class _LoggedRow(NamedTuple):
    """What a canary's report needs of one logged row; entities are numbered."""

    entity: int
    role: str
    digest: str
    score: float
    latency_us: int | None


def logged_requests(release: Release, rows: pa.Table) -> list[LoggedRequest]:
    """Return the requests of a canary, one for each arm in it, in the order of time; rows without entity are left out.

    Only the entities that a service counts at the challenger's share of the time are among them, see `is_counted`.
    Rows with the same request id and time are one request. It is an observation of one of its entities, which a hash
    draws. Rows of the challenger that a fallback predicted are left out: the champion did not predict them either, so
    they say nothing about the challenger.
    """
    challenger = release.challenger
    assert challenger is not None  # noqa: S101 - the caller checks
    digests = {"champion": release.champion.sha256, "challenger": challenger.sha256}
    requests = []
    for key, arms in _rows_by_request(release, rows).items():
        entities = list(dict.fromkeys(row.entity for members in arms.values() for row in members))
        observed = entities[zlib.crc32(repr(key).encode()) % len(entities)]
        is_batch = sum(map(len, arms.values())) > 1
        for arm, members in arms.items():
            first = members[0]
            if arm == "challenger" and first.role == "champion" and first.digest != digests["champion"]:
                continue
            scores: dict[int, float] = {}
            for row in members:
                scores.setdefault(row.entity, row.score)
            has_own_scores = first.role == arm and first.digest == digests[arm]
            requests.append(
                LoggedRequest(
                    time=key[1],
                    arm=arm,
                    entities=list(scores),
                    observed=observed if observed in scores else None,
                    scores=list(scores.values()) if has_own_scores else None,
                    latency_us=None if is_batch else first.latency_us,
                )
            )
    return requests


def _rows_by_request(release: Release, rows: pa.Table) -> dict[tuple[Any, dt.datetime], dict[str, list[_LoggedRow]]]:
    """Return the rows of the counted entities by request (its id or the row's position, and its time), then by arm."""
    experiment, challenger = release.experiment, release.challenger
    assert experiment is not None  # noqa: S101 - the caller checks
    assert challenger is not None  # noqa: S101
    rows = rows.filter(pc.and_(pc.is_valid(rows["bucket"]), pc.is_valid(rows["entity"])))
    entities = rows["entity"].combine_chunks().dictionary_encode().indices.to_pylist()
    predictions = zip(values(rows["prediction"]), values(rows["probabilities"]), strict=True)
    names = ("request_id", "time", "arm", "role", "artifact_digest", "latency_us", "bucket")
    columns = [rows[name].to_pylist() for name in names]
    requests: dict[tuple[Any, dt.datetime], dict[str, list[_LoggedRow]]] = {}
    for index, (entity, prediction, request_id, time, arm, role, digest, latency_us, bucket) in enumerate(
        zip(entities, predictions, *columns, strict=True)
    ):
        if is_counted(bucket, experiment.weight_at(time, challenger.weight)):
            key = (index if request_id is None else request_id, time)
            row = _LoggedRow(entity, role, digest, score_of(*prediction), latency_us)
            requests.setdefault(key, {}).setdefault(arm, []).append(row)
    return requests


def _report_test(design: Design, share: float, units: Units, looks: Sequence[Look], now_us: int) -> ExperimentReport:
    """Report on an A/B test by entities: first whether it is valid, then the looks that were taken."""
    closed = units.closed_by(now_us)
    seen = {arm: int(units.in_arm(arm).sum()) for arm in ARMS}
    labelled = {arm: int((units.in_arm(arm) & closed & units.labelled).sum()) for arm in ARMS}
    p = sample_ratio_p(seen["champion"], seen["challenger"], share)
    figures: dict[str, Any] = {
        "units": seen,
        "closed": {arm: int((units.in_arm(arm) & closed).sum()) for arm in ARMS},
        "labelled": labelled,
        "late_labels": units.late_labels,
        "sample_ratio_p": p,
        "mixed_units": units.mixed,
        "looks": [look.model_dump(mode="json") for look in looks],
        "conclusion": None,
    }
    lines = [
        f"{arm}: {seen[arm]:,} entities, {figures['closed'][arm]:,} of them closed, {labelled[arm]:,} of these labelled"
        for arm in ARMS
    ]
    if units.late_labels:
        lines.append(f"{units.late_labels:,} predictions have a label that came after their entity was closed")
    lines.append(f"sample ratio: p = {p:.4g} for sizes as uneven as these under the planned share (chi-square)")
    if units.mixed:
        lines.append(
            f"{units.mixed:,} entities have rows in both arms; each counts for its first arm, which makes a difference "
            "smaller"
        )
    lines.append(describe_design(design))
    lines += [describe_look(design, look) for look in looks]
    last = looks[-1] if looks else None
    if last is not None:
        figures |= {
            "look": last.number,
            "z": last.z,
            "boundary": last.boundary,
            "effect": last.effect,
            "interval": list(last.interval),
        }
    figures["conclusion"], conclusion = _conclude(design, share, last, p, labelled)
    return ExperimentReport([*lines, *conclusion], figures)


def _conclude(
    design: Design, share: float, last: Look | None, p: float, labelled: dict[str, int]
) -> tuple[str | None, list[str]]:
    """Return the conclusion, None if there is none yet, and the lines that state it."""
    if last is not None and last.is_final:
        if last.verdict == "no difference shown":
            text = "conclusion: no difference is shown, which does not mean that there is none; the test is over"
        else:
            text = f"conclusion: the challenger is {last.verdict}; the test is over"
        return last.verdict, [text]
    if p < MIN_SAMPLE_RATIO_P:
        text = (
            f"the test is invalid: the arms' sizes do not fit a share of {share:.1%} (p < {MIN_SAMPLE_RATIO_P}); "
            "find out which entities are missing"
        )
        return "invalid", [text]
    number = 1 if last is None else last.number + 1
    needed = planned_entities(design, share, number)
    progress = ", ".join(f"{labelled[arm]:,} of {needed[arm]:,} ({arm})" for arm in ARMS)
    lines = [f"no conclusion yet: look {number} of {design.looks} needs closed and labelled entities: {progress}"]
    if last is None:
        lines.append("the difference so far is not reported: stopping on it would increase the rate of false alarms")
    return None, lines


def describe_design(design: Design) -> str:
    """Return the design of an A/B test as a line of text."""
    schedule = "one look at the end" if design.looks == 1 else f"{design.looks} looks, O'Brien-Fleming boundaries"
    window, label = dt.timedelta(seconds=design.window_seconds), dt.timedelta(seconds=design.label_seconds)
    return (
        f"design: {design.kpi}, {design.better} is better, {design.units:,} labelled entities, {schedule}, two-sided "
        f"alpha {ALPHA:g}; an entity's predictions count for {window}, their labels for {label} more, then it "
        "is closed; entities' means are compared (Welch 1947)"
    )


def describe_look(design: Design, look: Look) -> str:
    """Return a look as a line of text."""
    low, high = look.interval
    z = "no variance" if look.z is None else f"z = {look.z:.2f}"
    return (
        f"look {look.number} of {design.looks}, {look.reached_at:%Y-%m-%d %H:%M} UTC, "
        f"{look.champion.entities:,} and {look.challenger.entities:,} entities: challenger less champion "
        f"{look.effect:+.4g} ({low:+.4g} to {high:+.4g}), {z}, boundary {look.boundary:.2f}: {look.verdict}"
    )
