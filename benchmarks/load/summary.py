"""Readings → medians over rounds; readings that were taken side by side → whether what was asked for holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, mode
from typing import Literal

from benchmarks.load.measure import Reading
from benchmarks.servers.base import Server

#: (server, workload, what) → its median over rounds.
Medians = dict[tuple[str, str, str], float]
OURS, IN_PRODUCTION, CONSTANT = "ours", "ours-production", "constant"


@dataclass(frozen=True)
class Demand:
    """What ours has to reach: `limit` times what `rival` reached, or `limit` itself where there is no rival."""

    label: str
    workload: str
    what: str
    rival: Literal["best alternative", "constant FastAPI app"] | None
    bound: Literal["at least", "at most"]
    limit: float

    @property
    def asked(self) -> str:
        """In words."""
        return f"{self.bound} {self.limit:g}" + (f" \N{MULTIPLICATION SIGN} the {self.rival}" if self.rival else "")


BEST, APP = "best alternative", "constant FastAPI app"
DEMANDS = (
    Demand("concurrency 1, requests/s", "demo", "one rate", BEST, "at least", 25),
    Demand("concurrency 1, requests/s", "demo", "one rate", APP, "at least", 0.8),
    Demand("concurrency 64, requests/s", "demo", "many rate", BEST, "at least", 10),
    Demand("concurrency 64, requests/s", "demo", "many rate", APP, "at least", 1.0),
    Demand("concurrency 64, p99, ms", "demo", "many p99_ms", APP, "at most", 3),
    Demand("1,000-row batches, rows/s", "demo", "batch rate", BEST, "at least", 2),
    Demand("process start to first right answer, s", "demo", "start_seconds", None, "at most", 1.5),
    Demand("a pipeline that cannot be planned, concurrency 64, requests/s", "custom", "many rate", BEST, "at least", 3),
)
#: What holds with keys, a limit and the log as well.
IN_PRODUCTION_TOO = tuple(d for d in DEMANDS if d.workload == "demo" and d.what.endswith("rate"))


@dataclass(frozen=True)
class Finding:
    """What came of a demand; None where this run did not measure what it takes.

    `found` is the median over turns of ours divided by the best rival's figure of the same turn, or ours alone where
    there is no rival; `ours` and `theirs` are medians over turns.
    """

    demand: Demand
    ours: float | None
    rival: str | None
    theirs: float | None
    found: float | None
    holds: bool | None


def medians(readings: Iterable[Reading]) -> Medians:
    """The median over rounds of every figure."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for reading in readings:
        values.setdefault((reading.server, reading.workload, reading.what), []).append(reading.value)
    return {key: median(found) for key, found in values.items()}


def judge(figures: Medians, duels: Sequence[Reading], servers: Sequence[Server], ours: str = OURS) -> list[Finding]:
    """Compare what we reached with what is asked for: turn by turn with a rival, else by the medians."""
    demands = DEMANDS if ours == OURS else IN_PRODUCTION_TOO
    return [
        _alone(demand, figures.get((ours, demand.workload, demand.what)))
        if demand.rival is None
        else _against(demand, duels, _rivals(demand, servers), ours)
        for demand in demands
    ]


def _rivals(demand: Demand, servers: Sequence[Server]) -> list[str]:
    return [s.name for s in servers if (s.role == "alternative" if demand.rival == BEST else s.name == CONSTANT)]


def _alone(demand: Demand, ours: float | None) -> Finding:
    return Finding(demand, ours, None, None, ours, None if ours is None else _holds(demand, ours))


def _against(demand: Demand, duels: Sequence[Reading], rivals: Sequence[str], ours: str) -> Finding:
    turns: dict[int, dict[str, float]] = {}
    for reading in duels:
        if (reading.workload, reading.what) == (demand.workload, demand.what):
            turns.setdefault(reading.round, {})[reading.server] = reading.value
    best = max if demand.bound == "at least" else min
    own, theirs, ratios, seen = [], [], [], []
    for turn in turns.values():
        known = {name: turn[name] for name in rivals if turn.get(name)}
        if ours in turn and known:
            rival = best(known, key=known.__getitem__)
            own.append(turn[ours])
            theirs.append(known[rival])
            ratios.append(turn[ours] / known[rival])
            seen.append(rival)
    if not ratios:
        return Finding(demand, None, None, None, None, None)
    found = median(ratios)
    return Finding(demand, median(own), mode(seen), median(theirs), found, _holds(demand, found))


def _holds(demand: Demand, found: float) -> bool:
    return found >= demand.limit if demand.bound == "at least" else found <= demand.limit
