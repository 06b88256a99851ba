"""How long one explanation takes: the project's artifact, and models of other numbers of inputs.

    uv run python -m benchmarks.explain

prints a table; docs/explanations.md has the last one.
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
from skline.scoring.answers import Scores
from skline.scoring.golden import read_rows
from skline.scoring.plan import build_plan

ROUNDS = 30
INPUTS = (5, 8, 10, 11, 20, 50, 200)


def made_up(count: int) -> tuple[Explainer, dict[str, Value]]:
    """Fit 120 trees to `count` numbers."""
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
    """The artifact that `dvc repro` made."""
    artifact = Artifact.open(Path("artifact"), read_digest(Path("artifact.sha256")))
    plan = build_plan(artifact.load_pipeline(), artifact.contract.inputs)
    rows = read_rows(artifact.contract, artifact.golden.rows)
    return Explainer.from_artifact(artifact, counting(plan.score_rows)), rows[0]


scored = 0


def counting(score_rows: ScoreRows) -> ScoreRows:
    """Count the rows that are scored."""

    def score(rows: Sequence[Mapping[str, Value]]) -> Scores:
        global scored  # noqa: PLW0603 (one number, for the table)
        scored = len(rows)
        return score_rows(rows)

    return score


def main() -> None:
    """Print the table."""
    print("| model | inputs | method | background | rows scored | ms, median | ms, worst |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    cases = [("the artifact's", packaged()), *(("120 trees", made_up(count)) for count in INPUTS)]
    for name, (explainer, row) in cases:
        found = explainer.explain(row)
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            explainer.explain(row)
            times.append(1000 * (time.perf_counter() - start))
        print(
            f"| {name} | {len(row)} | {found.method} | {found.background_rows} | {scored:,} "
            f"| {statistics.median(times):.0f} | {max(times):.0f} |"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
