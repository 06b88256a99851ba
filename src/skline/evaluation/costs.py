"""What a model costs to run: time for one row, size, memory. Measured here and now, so they vary a little."""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ConfigDict

from skline.artifact import Artifact
from skline.scoring import stored
from skline.scoring.golden import read_rows

ASKED = 200
WARM = 20


class Costs(BaseModel):
    """Median milliseconds for one row, without HTTP; megabytes of the artifact, and of memory that answering took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: float
    artifact_mb: float
    memory_mb: float


def measure(artifact: Artifact, folder: Path) -> Costs:
    """Load what answers, and ask it for the golden rows one by one."""
    before = resident()
    rows = read_rows(artifact.contract, artifact.golden.rows)
    ask = _one_row(artifact)
    times = []
    for index in range(WARM + ASKED):
        started = perf_counter()
        ask(rows[index % len(rows)])
        times.append(perf_counter() - started)
    return Costs(
        latency_ms=round(median(times[WARM:]) * 1e3, 3),
        artifact_mb=round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 2),
        memory_mb=round(max(0.0, resident() - before), 1),
    )


def _one_row(artifact: Artifact) -> Callable[[dict[str, Any]], Any]:
    """Return what answers one row: the stored plan, or the pipeline."""
    if artifact.plan_bytes is not None:
        try:
            return stored.load(artifact.plan_bytes).score_row
        except stored.PlanOutdated:
            pass  # then a server answers by the pipeline as well
    from skline.scoring.reference import score_with_pipeline

    pipeline = artifact.load_pipeline()
    return lambda row: score_with_pipeline(pipeline, artifact.contract.inputs, [row])


def resident() -> float:
    """Resident memory of this process, in megabytes; on systems without /proc the largest it ever had."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
