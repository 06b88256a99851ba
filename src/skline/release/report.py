"""What an experiment has shown so far, read out of the logs: what can be concluded, and what cannot."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.logs.read import values
from skline.release.comparison import compare, in_words, kpi_of, score_of
from skline.release.experiment import BUCKETS, Design, Experiment
from skline.release.guards import Tally, breach
from skline.release.manifest import Arm, Release
from skline.release.sequential import MISMATCH, boundaries, sample_ratio

ARMS = ("champion", "challenger")


@dataclass
class Unit:
    """One entity: the arm that it met first, when, and what its labelled predictions gave."""

    arm: str
    first: Any
    kpis: list[float] = field(default_factory=list)
    mixed: bool = False


@dataclass(frozen=True)
class Finding:
    """What a report says: lines for people, the whole as JSON, and the guard that a canary breaks."""

    lines: list[str]
    facts: dict[str, Any]
    breach: str | None = None


def report(release: Release, labelled: pa.Table) -> Finding:
    """Report on the experiment of a release.

    Parameters
    ----------
    labelled : table of `skline.logs.read.read_labelled`
        From the experiment's start on.
    """
    experiment, arm = release.experiment, release.challenger
    assert experiment is not None  # noqa: S101 - who calls has looked
    assert arm is not None  # noqa: S101
    rows = labelled.filter(pc.equal(labelled["experiment"], experiment.name))
    head = f"{experiment.kind} {experiment.name}: {arm.version} beside {release.champion.version}, since "
    head += f"{experiment.started_at:%Y-%m-%d %H:%M} UTC"
    if experiment.kind == "shadow":
        found = _shadow(rows)
    elif experiment.design is not None:
        found = _test(experiment.design, arm, rows)
    else:
        found = _canary(experiment, rows)
    facts = {"experiment": experiment.name, "kind": experiment.kind, "challenger": arm.version} | found.facts
    return Finding([head, *found.lines], facts, found.breach)


def _shadow(rows: pa.Table) -> Finding:
    """Pair each answer with the shadow's to the same row."""
    ids = rows["prediction_id"].to_pylist()
    answers = list(zip(values(rows["prediction"]), values(rows["probabilities"]), strict=True))
    labels = values(rows["label"])
    place = {one: index for index, one in enumerate(ids)}
    pairs = [(place[one.removesuffix(".shadow")], index) for one, index in place.items()
             if one.endswith(".shadow") and one.removesuffix(".shadow") in place]  # fmt: skip
    if not pairs:
        return Finding(["no row was scored by both yet; nothing can be said"], {"rows": 0})
    facts = compare([answers[a] for a, _ in pairs], [answers[b] for _, b in pairs], [labels[a] for a, _ in pairs])
    return Finding(in_words(facts), facts)


def _canary(experiment: Experiment, rows: pa.Table) -> Finding:
    """Count what the guards look at, over all processes."""
    rows = rows.filter(pc.is_valid(rows["bucket"]))
    arms, roles = rows["arm"].to_pylist(), rows["role"].to_pylist()
    answers = zip(values(rows["prediction"]), values(rows["probabilities"]), strict=True)
    scores = np.array([score_of(*answer) for answer in answers])
    bounds = np.unique(np.quantile(scores, np.linspace(0.05, 0.95, 19))) if len(scores) else np.array([])
    latencies = rows["latency_us"].to_pylist()
    tallies = {name: Tally(scores=[0] * (len(bounds) + 1)) for name in ARMS}
    for arm, role, latency, where in zip(
        arms, roles, latencies, np.searchsorted(bounds, scores, side="left").tolist(), strict=True
    ):
        tally = tallies[arm]
        tally.rows += 1
        tally.slow += (latency or 0) > experiment.guards.slow_ms * 1000
        if role == arm:
            tally.scores[where] += 1
        else:
            tally.fallbacks += 1
    champion, challenger = (tallies[name] for name in ARMS)
    said = breach(experiment.guards, champion, challenger)
    lines = [f"{name}: {tally.rows:,} rows, {tally.fallbacks:,} answered by another, {tally.slow:,} slower than "
             f"{experiment.guards.slow_ms:g} ms" for name, tally in tallies.items()]  # fmt: skip
    seen = min(champion.rows, challenger.rows)
    if said is not None:
        lines.append(f"a guard is broken: {said}")
    elif seen < experiment.guards.min_rows:
        lines.append(f"nothing can be said yet: {seen:,} of {experiment.guards.min_rows:,} rows of each arm")
    else:
        lines.append("no guard is broken; whether it is better, a canary does not tell")
    facts = {name: {"rows": t.rows, "fallbacks": t.fallbacks, "slow": t.slow} for name, t in tallies.items()}
    return Finding(lines, facts | {"breach": said}, said)


def units_of(design: Design, rows: pa.Table) -> dict[str, Unit]:
    """The entities of an A/B test, by their hash."""
    rows = rows.filter(pc.and_(pc.is_valid(rows["bucket"]), pc.is_valid(rows["entity"])))
    rows = rows.filter(pc.is_in(rows["role"], value_set=pa.array(ARMS)))
    found: dict[str, Unit] = {}
    for entity, moment, arm, prediction, chances, label in zip(
        rows["entity"].to_pylist(), rows["time"].to_pylist(), rows["arm"].to_pylist(), values(rows["prediction"]),
        values(rows["probabilities"]), values(rows["label"]), strict=True,
    ):  # fmt: skip
        unit = found.setdefault(entity, Unit(arm, moment))
        unit.mixed |= unit.arm != arm
        if label is not None:
            unit.kpis.append(kpi_of(design.kpi, prediction, chances, label))
    return found


def _test(design: Design, arm: Arm, rows: pa.Table) -> Finding:
    """Judge an A/B test by entities: first whether it can be believed, then what it says."""
    units = units_of(design, rows)
    by_arm = {name: sorted((u for u in units.values() if u.arm == name), key=lambda u: u.first) for name in ARMS}
    means = {name: np.array([np.mean(u.kpis) for u in arms if u.kpis]) for name, arms in by_arm.items()}
    share = arm.weight / BUCKETS
    chance = sample_ratio(len(by_arm["champion"]), len(by_arm["challenger"]), share)
    mixed = sum(unit.mixed for unit in units.values())
    facts: dict[str, Any] = {
        "units": {name: len(arms) for name, arms in by_arm.items()},
        "labelled": {name: len(one) for name, one in means.items()},
        "sample_ratio_p": chance,
        "mixed_units": mixed,
        "conclusion": None,
    }
    lines = [f"{name}: {len(by_arm[name]):,} entities, {len(means[name]):,} of them labelled" for name in ARMS]
    lines.append(f"sample ratio: p = {chance:.4g} that the arms are divided as planned (chi-square)")
    if chance < MISMATCH:
        facts["conclusion"] = "invalid"
        words = f"nothing can be concluded: the arms' sizes do not fit a share of {share:.1%} (p < {MISMATCH})"
        return Finding([*lines, f"{words}; find out who is missing"], facts)
    if mixed:
        lines.append(f"{mixed:,} entities met both arms; they count for the first, which makes a difference smaller")
    planned = {"champion": design.units * (1 - share), "challenger": design.units * share}
    done = min(len(means[name]) / planned[name] for name in ARMS)
    looks = int(min(done, 1.0) * design.looks + 1e-9)
    limits = boundaries(design.boundary, design.looks, design.alpha)
    return _judge(design, means, planned, looks, limits, lines, facts)


def _judge(
    design: Design,
    means: dict[str, Any],
    planned: dict[str, float],
    looks: int,
    limits: tuple[float, ...],
    lines: list[str],
    facts: dict[str, Any],
) -> Finding:
    """Go from look to look; the first that crosses its boundary ends the test."""
    words = "one look at the end" if design.looks == 1 else f"{design.looks} looks, {design.boundary}"
    lines.append(
        f"design: {design.kpi}, {design.better} is better, {design.units:,} labelled entities, {words}, two-sided "
        f"alpha {design.alpha:g}; entities' means are compared (Welch 1947)"
    )
    if not looks:
        lacking = ", ".join(f"{len(means[n]):,} of {math.ceil(planned[n] / design.looks):,} ({n})" for n in ARMS)
        lines.append(f"nothing can be concluded yet: the first look comes with more labelled entities: {lacking}")
        lines.append("a difference seen before is not reported: to stop on it would raise the share of false alarms")
        return Finding(lines, facts)
    for look in range(1, looks + 1):
        one, other = (means[name][: math.ceil(planned[name] * look / design.looks)] for name in ARMS)
        effect = float(np.mean(other) - np.mean(one))
        error = math.sqrt(np.var(one, ddof=1) / len(one) + np.var(other, ddof=1) / len(other))
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
        facts["conclusion"] = "better" if better else "worse"
        lines.append(f"it can be concluded that the challenger is {facts['conclusion']}; the test is over")
    elif look == design.looks:
        facts["conclusion"] = "no difference shown"
        lines.append("the test is over without a difference shown; that is no proof that there is none")
    else:
        lines.append(f"nothing can be concluded yet; the next look comes at {look + 1}/{design.looks} of the entities")
    facts |= {"look": look, "z": z, "boundary": limit, "effect": effect, "interval": [low, high]}
    return Finding(lines, facts)
