"""Readings → medians over rounds, medians → what was asked for and whether it holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.load.measure import Reading
from benchmarks.servers.base import Server

#: (server, workload, what) → its median over rounds.
Medians = dict[tuple[str, str, str], float]
OURS, CONSTANT = "ours", "constant"


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


@dataclass(frozen=True)
class Finding:
    """What came of a demand; None where this run did not measure what it takes.

    `found` is ours divided by the rival's figure, or ours alone where there is no rival.
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


def judge(figures: Medians, servers: Sequence[Server]) -> list[Finding]:
    """Compare our medians with what is asked for, one finding a demand."""
    return [_judge_one(demand, figures, servers) for demand in DEMANDS]


def _judge_one(demand: Demand, figures: Medians, servers: Sequence[Server]) -> Finding:
    def of(name: str) -> float | None:
        return figures.get((name, demand.workload, demand.what))

    ours, rival, theirs = of(OURS), None, 1.0
    if demand.rival is not None:
        names = [s.name for s in servers if (s.role == "alternative" if demand.rival == BEST else s.name == CONSTANT)]
        known = {name: value for name in names if (value := of(name)) is not None}
        if known:
            rival = (max if demand.bound == "at least" else min)(known, key=known.__getitem__)
        theirs = known.get(rival or "", 0.0)
    if ours is None or not theirs:
        return Finding(demand, ours, rival, theirs or None, None, None)
    found = ours / theirs
    holds = found >= demand.limit if demand.bound == "at least" else found <= demand.limit
    return Finding(demand, ours, rival, theirs if rival else None, found, holds)
