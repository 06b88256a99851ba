"""Two BentoML services around the pipeline: one request at a time, and with adaptive batching."""

import os
from typing import Any

import bentoml

from benchmarks.apps.rows import load_pipeline, probabilities, row_type

Row = row_type()
BATCH, WAIT_MS = int(os.environ["BENCHMARK_BATCH"]), int(os.environ["BENCHMARK_WAIT_MS"])
OPTIONS: dict[str, Any] = {
    "workers": 1,
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
    "traffic": {"timeout": 30},
}


@bentoml.service(name="rows", **OPTIONS)
class Plain:
    """Scores each request by itself."""

    def __init__(self) -> None:
        self.pipeline = load_pipeline()

    @bentoml.api
    def predict(self, row: Row) -> list[float]:
        """Score one row."""
        return probabilities(self.pipeline, [row])[0]

    @bentoml.api
    def predict_batch(self, rows: list[Row]) -> list[list[float]]:
        """Score many rows."""
        return probabilities(self.pipeline, rows)


@bentoml.service(name="batched_rows", **OPTIONS)
class Batching:
    """Lets the dispatcher merge concurrent requests."""

    def __init__(self) -> None:
        self.pipeline = load_pipeline()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=WAIT_MS)
    def predict(self, rows: list[Row]) -> list[list[float]]:
        """Score the rows of several requests."""
        return probabilities(self.pipeline, rows)

    @bentoml.api
    def predict_batch(self, rows: list[Row]) -> list[list[float]]:
        """Score many rows."""
        return probabilities(self.pipeline, rows)
