"""Medians of readings over rounds, and the comparison of side-by-side readings with the performance targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, mode
from typing import Literal

from benchmarks.load.measure import Reading
from benchmarks.servers.base import Server

#: (server, workload, figure) → median over rounds.
Medians = dict[tuple[str, str, str], float]
Rival = Literal["best alternative", "constant FastAPI app"]
OURS, IN_PRODUCTION, CONSTANT = "ours", "ours-production", "constant"


@dataclass(frozen=True)
class Target:
    """A performance target of our server: `limit` times the figure of `rival`, or `limit` itself without a rival."""

    label: str
    workload: str
    figure: str
    rival: Rival | None
    bound: Literal["at least", "at most"]
    limit: float

    @property
    def requirement(self) -> str:
        """The target as text."""
        return f"{self.bound} {self.limit:g}" + (f" \N{MULTIPLICATION SIGN} the {self.rival}" if self.rival else "")


BEST: Rival = "best alternative"
APP: Rival = "constant FastAPI app"
TARGETS = (
    Target("concurrency 1, requests/s", "demo", "one rate", BEST, "at least", 25),
    Target("concurrency 1, requests/s", "demo", "one rate", APP, "at least", 0.8),
    Target("concurrency 64, requests/s", "demo", "many rate", BEST, "at least", 10),
    Target("concurrency 64, requests/s", "demo", "many rate", APP, "at least", 1.0),
    Target("concurrency 64, p99, ms", "demo", "many p99_ms", APP, "at most", 3),
    Target("1,000-row batches, rows/s", "demo", "batch rate", BEST, "at least", 2),
    Target("process start to first correct response, s", "demo", "start_seconds", None, "at most", 1.5),
    Target("a pipeline that is not planned, concurrency 64, requests/s", "custom", "many rate", BEST, "at least", 3),
)
#: Targets that apply with API keys, a rate limit and the prediction log too.
PRODUCTION_TARGETS = tuple(t for t in TARGETS if t.workload == "demo" and t.figure.endswith("rate"))


@dataclass(frozen=True)
class TargetResult:
    """The result for a target; attributes are None if this run did not measure what the target needs.

    `value` is the median over turns of our figure divided by the best rival's figure of the same turn, or our figure
    if the target has no rival; `ours` and `theirs` are medians over turns.
    """

    target: Target
    ours: float | None
    rival: str | None
    theirs: float | None
    value: float | None
    met: bool | None


def medians(readings: Iterable[Reading]) -> Medians:
    """Return the median over rounds of every figure."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for reading in readings:
        values.setdefault((reading.server, reading.workload, reading.figure), []).append(reading.value)
    return {key: median(of_rounds) for key, of_rounds in values.items()}


def compare_with_targets(
    figures: Medians, duels: Sequence[Reading], servers: Sequence[Server], ours: str = OURS
) -> list[TargetResult]:
    """Compare our server with the targets: turn by turn with a rival, or by its median if there is no rival."""
    targets = TARGETS if ours == OURS else PRODUCTION_TARGETS
    return [
        _without_rival(target, figures.get((ours, target.workload, target.figure)))
        if target.rival is None
        else _against_rivals(target, duels, _rivals(target, servers), ours)
        for target in targets
    ]


def _without_rival(target: Target, ours: float | None) -> TargetResult:
    return TargetResult(target, ours, None, None, ours, None if ours is None else _is_met(target, ours))


def _rivals(target: Target, servers: Sequence[Server]) -> list[str]:
    return [s.name for s in servers if (s.role == "alternative" if target.rival == BEST else s.name == CONSTANT)]


def _against_rivals(target: Target, duels: Sequence[Reading], rivals: Sequence[str], ours: str) -> TargetResult:
    turns: dict[int, dict[str, float]] = {}
    for reading in duels:
        if (reading.workload, reading.figure) == (target.workload, target.figure):
            turns.setdefault(reading.round, {})[reading.server] = reading.value
    best = max if target.bound == "at least" else min
    own, theirs, ratios, best_rivals = [], [], [], []
    for turn in turns.values():
        of_rivals = {name: turn[name] for name in rivals if turn.get(name)}
        if ours in turn and of_rivals:
            rival = best(of_rivals, key=of_rivals.__getitem__)
            own.append(turn[ours])
            theirs.append(of_rivals[rival])
            ratios.append(turn[ours] / of_rivals[rival])
            best_rivals.append(rival)
    if not ratios:
        return TargetResult(target, None, None, None, None, None)
    ratio = median(ratios)
    return TargetResult(target, median(own), mode(best_rivals), median(theirs), ratio, _is_met(target, ratio))


def _is_met(target: Target, value: float) -> bool:
    return value >= target.limit if target.bound == "at least" else value <= target.limit
