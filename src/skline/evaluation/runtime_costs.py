"""Measure what a model costs to run on this machine: time for one row, size, memory. The figures vary a little."""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ConfigDict

from skline.artifact import Artifact
from skline.scoring import plan_storage
from skline.scoring.golden_verification import parse_rows

MEASURED_ROWS = 200
WARM_UP_ROWS = 20


class Costs(BaseModel):
    """Median milliseconds to score one row, without HTTP; megabytes of the artifact, and of memory used by scoring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: float
    artifact_mb: float
    memory_mb: float


def measure_costs(artifact: Artifact, folder: Path) -> Costs:
    """Load the model and score the golden rows one by one."""
    before = resident_megabytes()
    rows = parse_rows(artifact.contract, artifact.golden.rows)
    score_row = _row_scorer(artifact)
    times = []
    for index in range(WARM_UP_ROWS + MEASURED_ROWS):
        started = perf_counter()
        score_row(rows[index % len(rows)])
        times.append(perf_counter() - started)
    return Costs(
        latency_ms=round(median(times[WARM_UP_ROWS:]) * 1e3, 3),
        artifact_mb=round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 2),
        memory_mb=round(max(0.0, resident_megabytes() - before), 1),
    )


def _row_scorer(artifact: Artifact) -> Callable[[dict[str, Any]], Any]:
    """Return a function that scores one row: by the stored plan, or by the pipeline."""
    if artifact.plan_bytes is not None:
        try:
            return plan_storage.load_plan(artifact.plan_bytes).score_row
        except plan_storage.UnusablePlan:
            pass  # a server, too, then scores by the pipeline
    from skline.scoring.reference import score_with_pipeline

    pipeline = artifact.load_pipeline()
    return lambda row: score_with_pipeline(pipeline, artifact.contract.inputs, [row])


def resident_megabytes() -> float:
    """Return the resident memory of this process; on systems without /proc its maximum so far."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
