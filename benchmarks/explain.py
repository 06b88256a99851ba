"""Measure the time of one explanation, of the project's artifact and of models with other numbers of inputs.

    uv run python -m benchmarks.explain

prints a table; docs/explanations.md shows the last one.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame
from skline.contract.spec import Column, Contract, Value
from skline.explain import Explainer, ScoreRows
from skline.scoring.golden_verification import parse_rows
from skline.scoring.planning import build_plan
from skline.scoring.scores import Scores

ROUNDS = 30
INPUTS = (5, 8, 10, 11, 20, 50, 200)


def synthetic(count: int) -> tuple[Explainer, dict[str, Value]]:
    """Fit 120 trees to `count` numeric inputs; return the explainer and a row."""
    random = np.random.default_rng(0)
    table = random.normal(size=(5000, count))
    columns = [Column(name=f"x{index}", kind="number") for index in range(count)]
    target = Column(name="y", kind="boolean", role="target")
    contract = Contract(title="Numbers", columns=(*columns, target), task="binary", classes=(False, True))
    rows: list[dict[str, Value]] = [dict(zip(contract.input_names, row, strict=True)) for row in table.tolist()]
    model = make_pipeline(HistGradientBoostingClassifier(max_iter=120, early_stopping=False))
    model.fit(to_frame(columns, rows), table[:, 0] * table[:, 1] + table[:, 2] > 0)
    return Explainer(contract, counting(build_plan(model, columns).score_rows), rows[:64]), rows[100]


def packaged() -> tuple[Explainer, dict[str, Value]]:
    """Open the artifact that `dvc repro` made; return the explainer and a row."""
    artifact = Artifact.open(Path("artifact"), read_digest(Path("artifact.sha256")))
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    rows = parse_rows(artifact.contract, artifact.golden.rows)
    return Explainer.from_artifact(artifact, counting(plan.score_rows)), rows[0]


scored = 0


def counting(score_rows: ScoreRows) -> ScoreRows:
    """Wrap `score_rows` to count the rows that it scores."""

    def score(rows: Sequence[Mapping[str, Value]]) -> Scores:
        global scored  # noqa: PLW0603 (one number, for the table)
        scored = len(rows)
        return score_rows(rows)

    return score


def main() -> None:
    """Print the table."""
    print("| model | inputs | method | background | rows scored | ms, median | ms, worst |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cases = [("artifact", packaged()), *(("120 trees", synthetic(count)) for count in INPUTS)]
    for name, (explainer, row) in cases:
        explanation = explainer.explain(row)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            explainer.explain(row)
            times.append(1000 * (time.perf_counter() - start))
        print(
            f"| {name} | {len(row)} | {explanation.method} | {explanation.background_rows} | {scored:,} "
            f"| {statistics.median(times):.0f} | {max(times):.0f} |"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
