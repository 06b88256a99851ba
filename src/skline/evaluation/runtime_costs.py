"""Measure what a model costs to run on this machine: processor time for one row, size, memory.

Processor time, of all threads of this process, does not count the time in which other processes have the processor, so
that it hardly depends on the load of the machine. It depends on the machine itself.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from skline.artifact import Artifact
from skline.scoring import plan_storage
from skline.scoring.golden_verification import parse_rows

#: Rounds of the measurement, and rows that each scores. Of nine rounds, the second and the eighth in their order are
#: the ends of a 96 % interval of the median.
ROUNDS, ROUND_ROWS = 9, 25
WARM_UP_ROWS = 20


class Costs(BaseModel):
    """What scoring costs on this machine.

    `latency_ms` is the processor time of one row in milliseconds, without HTTP: the median of `ROUNDS` rounds, and the
    ends of its 96 % interval. `artifact_mb` is the size of the artifact, `memory_mb` what loading and scoring uses, in
    megabytes (10**6 bytes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    artifact_mb: float
    memory_mb: float


def measure_costs(artifact: Artifact, folder: Path) -> Costs:
    """Load the model and score the golden rows one by one."""
    before = resident_megabytes()
    rows = parse_rows(artifact.contract, artifact.golden.rows)
    times = sorted(time_rounds(_row_scorer(artifact), rows))
    return Costs(
        latency_ms=round(median(times), 3),
        latency_low_ms=round(times[1], 3),
        latency_high_ms=round(times[-2], 3),
        artifact_mb=round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 2),
        memory_mb=round(max(0.0, resident_megabytes() - before), 1),
    )


def time_rounds(score_row: Callable[[Any], Any], rows: list[Any]) -> list[float]:
    """Return the processor time of one row in each round, in milliseconds, after some rows that do not count."""
    for index in range(WARM_UP_ROWS):
        score_row(rows[index % len(rows)])
    times = []
    for number in range(ROUNDS):
        started = process_time()
        for index in range(number * ROUND_ROWS, (number + 1) * ROUND_ROWS):
            score_row(rows[index % len(rows)])
        times.append((process_time() - started) / ROUND_ROWS * 1e3)
    return times


def _row_scorer(artifact: Artifact) -> Callable[[dict[str, Any]], Any]:
    """Return a function that scores one row: by the stored plan, or by the pipeline."""
    if artifact.plan_bytes is not None:
        try:
            return plan_storage.load_plan(artifact.plan_bytes, artifact.manifest.libraries).score_row
        except plan_storage.UnusablePlan:
            pass  # a server, too, then scores by the pipeline
    from skline.scoring.reference import score_with_pipeline

    pipeline = artifact.load_pipeline()
    return lambda row: score_with_pipeline(pipeline, artifact.contract.inputs, [row])


def resident_megabytes() -> float:
    """Return the resident memory of this process, in units of 10**6 bytes."""
    resident: int = psutil.Process().memory_info().rss
    return resident / 1e6
