"""Report on an experiment from the logs: what can be concluded so far, and what cannot."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.read import values
from skline.release.comparison import compare_predictions, format_comparison, kpi_of, score_of
from skline.release.experiment import ALPHA, BUCKETS, Design, Experiment
from skline.release.guards import Tally, find_breach
from skline.release.manifest import Arm, Release
from skline.release.sequential import MIN_SAMPLE_RATIO_P, boundaries, sample_ratio_p

ARMS = ("champion", "challenger")


@dataclass(frozen=True)
class ExperimentReport:
    """Lines of text, the same figures as JSON, and the guard that a canary breaches."""

    lines: list[str]
    figures: dict[str, Any]
    breach: str | None = None


@dataclass
class Unit:
    """One entity of an A/B test.

    It belongs to the `arm` of its first row, at `first_seen`; `mixed` is True if it has rows in the other arm too.
    `kpis` are the values of its labelled predictions.
    """

    arm: str
    first_seen: Any
    kpis: list[float] = field(default_factory=list)
    mixed: bool = False


def report_experiment(release: Release, labelled: pa.Table) -> ExperimentReport:
    """Report on the experiment of a release.

    Parameters
    ----------
    release : Release
        It must have an experiment.
    labelled : pyarrow.Table
        The log from the experiment's start on, as `skline.logs.read.read_labelled` returns it.
    """
    experiment, arm = release.experiment, release.challenger
    assert experiment is not None  # noqa: S101 - the caller checks
    assert arm is not None  # noqa: S101
    rows = labelled.filter(pc.equal(labelled["experiment"], experiment.name))
    title = (
        f"{experiment.kind} {experiment.name}: {arm.version} against {release.champion.version}, since "
        f"{experiment.started_at:%Y-%m-%d %H:%M} UTC"
    )
    if experiment.kind == "shadow":
        report = _report_shadow(rows)
    elif experiment.design is not None:
        report = _report_test(experiment.design, arm, rows)
    else:
        report = _report_canary(experiment, rows)
    figures = {"experiment": experiment.name, "kind": experiment.kind, "challenger": arm.version} | report.figures
    return ExperimentReport([title, *report.lines], figures, report.breach)


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


def _report_canary(experiment: Experiment, rows: pa.Table) -> ExperimentReport:
    """Check the guards on the rows of all processes."""
    rows = rows.filter(pc.is_valid(rows["bucket"]))
    arms, roles = rows["arm"].to_pylist(), rows["role"].to_pylist()
    predictions = zip(values(rows["prediction"]), values(rows["probabilities"]), strict=True)
    scores = np.array([score_of(*prediction) for prediction in predictions])
    bounds = np.unique(np.quantile(scores, np.linspace(0.05, 0.95, 19))) if len(scores) else np.array([])
    latencies = rows["latency_us"].to_pylist()
    tallies = {name: Tally(scores=[0] * (len(bounds) + 1)) for name in ARMS}
    for arm, role, latency, score_bin in zip(
        arms, roles, latencies, np.searchsorted(bounds, scores, side="left").tolist(), strict=True
    ):
        tally = tallies[arm]
        tally.rows += 1
        tally.slow += (latency or 0) > experiment.guards.slow_ms * 1000
        if role == arm:
            tally.scores[score_bin] += 1
        else:
            tally.fallbacks += 1
    champion, challenger = (tallies[name] for name in ARMS)
    breach = find_breach(experiment.guards, champion, challenger)
    lines = [
        f"{name}: {tally.rows:,} rows, {tally.fallbacks:,} served by another model, {tally.slow:,} slower than "
        f"{experiment.guards.slow_ms:g} ms"
        for name, tally in tallies.items()
    ]
    min_rows, smaller_arm = experiment.guards.min_rows, min(champion.rows, challenger.rows)
    if breach is not None:
        lines.append(f"the challenger breaches a guard: {breach}")
    elif smaller_arm < min_rows:
        lines.append(f"no conclusion yet: {smaller_arm:,} of {min_rows:,} rows of each arm")
    else:
        lines.append("no guard is breached; a canary does not show whether the challenger is better")
    figures = {name: {"rows": t.rows, "fallbacks": t.fallbacks, "slow": t.slow} for name, t in tallies.items()}
    return ExperimentReport(lines, figures | {"breach": breach}, breach)


def _report_test(design: Design, arm: Arm, rows: pa.Table) -> ExperimentReport:
    """Report on an A/B test by entities: first whether it is valid, then its result."""
    units = collect_units(design, rows)
    by_arm = {name: sorted((u for u in units.values() if u.arm == name), key=lambda u: u.first_seen) for name in ARMS}
    means = {name: np.array([np.mean(u.kpis) for u in members if u.kpis]) for name, members in by_arm.items()}
    share = arm.weight / BUCKETS
    p = sample_ratio_p(len(by_arm["champion"]), len(by_arm["challenger"]), share)
    mixed = sum(unit.mixed for unit in units.values())
    figures: dict[str, Any] = {
        "units": {name: len(members) for name, members in by_arm.items()},
        "labelled": {name: len(arm_means) for name, arm_means in means.items()},
        "sample_ratio_p": p,
        "mixed_units": mixed,
        "conclusion": None,
    }
    lines = [f"{name}: {len(by_arm[name]):,} entities, {len(means[name]):,} of them labelled" for name in ARMS]
    lines.append(f"sample ratio: p = {p:.4g} for sizes as uneven as these under the planned share (chi-square)")
    if p < MIN_SAMPLE_RATIO_P:
        figures["conclusion"] = "invalid"
        lines.append(
            f"the test is invalid: the arms' sizes do not fit a share of {share:.1%} (p < {MIN_SAMPLE_RATIO_P}); "
            "find out which entities are missing"
        )
        return ExperimentReport(lines, figures)
    if mixed:
        lines.append(
            f"{mixed:,} entities have rows in both arms; each counts for its first arm, which makes a difference "
            "smaller"
        )
    planned = {"champion": design.units * (1 - share), "challenger": design.units * share}
    progress = min(len(means[name]) / planned[name] for name in ARMS)
    looks = int(min(progress, 1.0) * design.looks + 1e-9)
    return _apply_boundaries(design, means, planned, looks, lines, figures)


def collect_units(design: Design, rows: pa.Table) -> dict[str, Unit]:
    """Return the entities of an A/B test by their hash."""
    rows = rows.filter(pc.and_(pc.is_valid(rows["bucket"]), pc.is_valid(rows["entity"])))
    rows = rows.filter(pc.is_in(rows["role"], value_set=pa.array(ARMS)))
    units: dict[str, Unit] = {}
    for entity, moment, arm, prediction, probabilities, label in zip(
        rows["entity"].to_pylist(),
        rows["time"].to_pylist(),
        rows["arm"].to_pylist(),
        values(rows["prediction"]),
        values(rows["probabilities"]),
        values(rows["label"]),
        strict=True,
    ):
        unit = units.setdefault(entity, Unit(arm, moment))
        unit.mixed |= unit.arm != arm
        if label is not None:
            unit.kpis.append(kpi_of(design.kpi, prediction, probabilities, label))
    return units


def _apply_boundaries(
    design: Design,
    means: dict[str, Any],
    planned: dict[str, float],
    looks: int,
    lines: list[str],
    figures: dict[str, Any],
) -> ExperimentReport:
    """Go from look to look; the first that crosses its boundary ends the test.

    Parameters
    ----------
    design : Design
    means : dict
        For each arm the mean KPI of its labelled entities, in the order in which they were first seen.
    planned : dict
        For each arm the number of entities at the end of the test.
    looks : int
        The looks that are possible so far.
    lines, figures
        Those of the report so far; they are extended.
    """
    schedule = "one look at the end" if design.looks == 1 else f"{design.looks} looks, O'Brien-Fleming boundaries"
    lines.append(
        f"design: {design.kpi}, {design.better} is better, {design.units:,} labelled entities, {schedule}, two-sided "
        f"alpha {ALPHA:g}; entities' means are compared (Welch 1947)"
    )
    if not looks:
        progress = ", ".join(f"{len(means[n]):,} of {math.ceil(planned[n] / design.looks):,} ({n})" for n in ARMS)
        lines.append(f"no conclusion yet: the first look needs more labelled entities: {progress}")
        lines.append("the difference so far is not reported: stopping on it would increase the rate of false alarms")
        return ExperimentReport(lines, figures)
    limits = boundaries(design.looks)
    for look in range(1, looks + 1):
        champion, challenger = (means[name][: math.ceil(planned[name] * look / design.looks)] for name in ARMS)
        effect = float(np.mean(challenger) - np.mean(champion))
        error = math.sqrt(np.var(champion, ddof=1) / len(champion) + np.var(challenger, ddof=1) / len(challenger))
        z = effect / error if error else math.copysign(math.inf, effect) if effect else 0.0
        limit = limits[look - 1]
        if abs(z) >= limit or look == looks:
            break
    low, high = effect - limit * error, effect + limit * error
    lines.append(
        f"look {look} of {design.looks}: challenger less champion {effect:+.4g} ({low:+.4g} to {high:+.4g}), "
        f"z = {z:.2f}, boundary {limit:.2f}"
    )
    better = (effect > 0) == (design.better == "higher")
    if abs(z) >= limit:
        figures["conclusion"] = "better" if better else "worse"
        lines.append(f"conclusion: the challenger is {figures['conclusion']}; the test is over")
    elif look == design.looks:
        figures["conclusion"] = "no difference shown"
        lines.append("conclusion: no difference is shown, which does not mean that there is none; the test is over")
    else:
        lines.append(f"no conclusion yet; the next look needs {look + 1}/{design.looks} of the entities")
    figures |= {"look": look, "z": z, "boundary": limit, "effect": effect, "interval": [low, high]}
    return ExperimentReport(lines, figures)
