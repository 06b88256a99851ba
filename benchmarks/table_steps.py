"""Where the time of a batch goes, as JSON, Arrow and Parquet: processor time of each step for a row, in one process.

Run `uv run --group bench python -m benchmarks.table_steps` after `uv run dvc repro`. The steps are those of
`/predict/batch`, called as the service calls them, without HTTP. Rounds of all formats alternate; figures are medians.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.table_batches import ARROW, PARQUET, digest, serialize
from skline.artifact import Artifact
from skline.batch.validation import BatchValidator
from skline.ids import concatenated_prediction_ids, new_prediction_ids
from skline.logs.columns_text import rows_text
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows
from skline.logs.stores.sqlite import SqliteStore
from skline.scoring.load import load_plan_or_pipeline
from skline.scoring.plan import Plan
from skline.serving.models.response import ResponseBuilder, scores_of
from skline.serving.observability.metrics import Metrics
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.recorder import serialize_batch
from skline.serving.tables.reading import TableLimits, read_table
from skline.serving.tables.writing import table_of_scores, to_bytes

STEPS = ("read and validate", "score", "respond", "count", "text for the log", "write to the log")
LIMITS = TableLimits(rows=1 << 24, decoded_bytes=1 << 31)


class Steps:
    """The steps of one model's service.

    Parameters
    ----------
    project : Path
        With artifact/ and data/split/.
    rows : int
        Of a batch.
    folder : Path
        For a prediction log.
    """

    def __init__(self, project: Path, rows: int, folder: Path) -> None:
        artifact = Artifact.open(project / "artifact", digest(project))
        self.contract = artifact.contract
        loaded, scoring = load_plan_or_pipeline(artifact)
        assert isinstance(loaded, Plan), f"the model is scored by its pipeline: {scoring.reason}"
        self.plan = loaded
        frame = pd.read_parquet(project / "data/split/test.parquet", columns=self.contract.input_names)
        frame = frame.sample(rows, random_state=0, ignore_index=True, replace=rows > len(frame))
        self.bodies = {name: serialize(name, self.contract, frame) for name in ("JSON", "Arrow", "Parquet")}
        self.rows = rows
        self.parser = RequestParser(self.contract, LIMITS.rows)
        self.validator = BatchValidator(self.contract)
        self.builder = ResponseBuilder(
            artifact.version, self.contract.classes, path="plan", half_width=artifact.interval_half_width
        )
        self.metrics = Metrics()
        self.metrics.set_model(artifact, scoring)
        self.store = SqliteStore(folder / "log.db", durable=False)
        self.shared = Prediction("", time.time_ns() // 1000, artifact.version, artifact.digest, "plan", {}, 0)

    def measure(self, name: str) -> list[float]:
        """Return the microseconds of the processor for each step and row."""
        seconds: list[float] = []

        def timed(step: Callable[[], Any]) -> Any:
            started = time.process_time()
            result = step()
            seconds.append(time.process_time() - started)
            return result

        logged = self._json(timed) if name == "JSON" else self._table(timed, name)
        timed(lambda: self.store.write_request(logged))
        return [each / self.rows * 1e6 for each in seconds]

    def _json(self, timed: Callable[[Callable[[], Any]], Any]) -> RequestRows:
        rows = timed(lambda: self.parser.parse_rows(self.bodies["JSON"]))
        scores = timed(lambda: self.plan.score_rows(rows))

        def respond() -> list[dict[str, Any]]:
            contents = self.builder.rows(scores, new_prediction_ids(len(rows)))
            serialize_batch(contents)
            return contents

        contents = timed(respond)
        timed(lambda: self.metrics.observe_batch(self.metrics.summarize(rows, scores, scores_of(scores)), "request"))
        logged: RequestRows = timed(lambda: RequestRows(self.shared, rows, contents, [0] * len(rows)))
        return logged

    def _table(self, timed: Callable[[Callable[[], Any]], Any], name: str) -> RequestRows:
        media_type = (PARQUET if name == "Parquet" else ARROW).encode()
        validated = timed(lambda: self.validator.validate(read_table(self.bodies[name], media_type, LIMITS)))
        scores = timed(lambda: self.plan.score_columns(validated.columns))

        def respond() -> bytes:
            ids = concatenated_prediction_ids(self.rows)
            to_bytes(table_of_scores(scores, self.builder, ids, self.contract, {}), media_type)
            return ids

        ids = timed(respond)

        def count() -> None:
            summary = self.metrics.summarize_columns(validated.columns, scores, scores_of(scores))
            self.metrics.observe_batch(summary, "request")

        timed(count)
        names = ("inputs", "prediction") + ("probabilities",) * (scores.probabilities is not None)
        classes, inputs = self.builder.class_names, self.contract.inputs
        logged: RequestRows = timed(
            lambda: RequestRows.of_text(self.shared, ids, names, rows_text(inputs, validated.columns, scores, classes))
        )
        return logged


def main() -> None:
    """Measure all formats in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="the folder with artifact/ and data/split/")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="rows of a batch")
    parser.add_argument("--rounds", type=int, default=11, help="batches of each format")
    options = parser.parse_args()
    print("| rows | format | " + " | ".join(STEPS) + " | all, × JSON | without the log, × JSON |")
    print("|--:|---|" + "--:|" * (len(STEPS) + 2))
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            steps = Steps(options.project, rows, Path(folder))
            gc.collect()
            gc.freeze()  # as the service does once it is built
            for line in table(steps, options.rounds):
                print(line, flush=True)


def table(steps: Steps, rounds: int) -> list[str]:
    """Return the lines of a batch size."""
    measured: dict[str, list[list[float]]] = {name: [] for name in steps.bodies}
    for name in measured:
        steps.measure(name)  # a warm-up
    for _ in range(rounds):
        for name, times in measured.items():
            times.append(steps.measure(name))
    lines = []
    for name, times in measured.items():
        by_step = [statistics.median(step) for step in zip(*times, strict=True)]
        pairs = list(zip(measured["JSON"], times, strict=True))
        whole = statistics.median(sum(json) / sum(mine) for json, mine in pairs)
        alone = statistics.median(sum(json[:4]) / sum(mine[:4]) for json, mine in pairs)
        figures = " | ".join(f"{each:.2f}" for each in by_step)
        lines.append(f"| {steps.rows:,} | {name} | {figures} | {whole:.1f} | {alone:.1f} |")
    return lines


if __name__ == "__main__":
    main()
