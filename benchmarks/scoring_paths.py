"""Measure every estimator and transformer that a plan supports: its path, exactness and time, for docs/scoring.md.

Run `uv run python -m benchmarks.scoring_paths`. Plan and pipeline alternate in one process; figures are medians of
rounds, in processor time, so that other processes on the machine change them less. Compare the ratios: absolute times
depend on the machine.
"""

import datetime as dt
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.scoring_parts import CUSTOM, ESTIMATORS, TRANSFORMERS, before_trees, with_preprocessing
from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.pipeline_scorer import pipeline_scorer
from skline.scoring.planning import ScoringChoice, choose_scoring

PAGE = Path(__file__).parent.parent / "docs" / "scoring.md"
START, END = "<!-- table: benchmarks/scoring_paths.py -->", "<!-- end of table -->"
ROUNDS = 9
COLUMNS = (
    Column(name="carrier", kind="string"),
    Column(name="dest", kind="string", nullable=True),
    Column(name="day", kind="date"),
    Column(name="clock", kind="integer"),
    Column(name="distance", kind="number", nullable=True),
)


def main() -> None:
    """Time every part, and replace the table in the page."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = list(table())
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    PAGE.write_text("\n".join([before + START, "", *lines, "", END + rest.split(END)[1]]), encoding="utf-8")
    print("\n".join(lines))


def table() -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| part | path | exactness | one row | pipeline | ratio | 1,000 rows | pipeline | ratio |"
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|"
    rows = make_rows(4_000)
    rng = np.random.default_rng(1)
    score = np.array([int(str(row["carrier"])[1:]) / 8 + int(str(row["clock"])) / 1200 for row in rows])
    score += rng.normal(0, 1, len(rows))
    targets = {
        "binary": (score > 2).astype(int),
        "multiclass": np.array(["early", "on time", "late"])[np.digitize(score, [1.5, 2.5])],
        "regression": np.exp(score / 4),
    }
    for name, estimator, task in ESTIMATORS:
        yield line(name, with_preprocessing(estimator), rows, targets[task])
    for name, transformer, columns in TRANSFORMERS:
        yield line(name, before_trees(transformer, columns), rows, targets["binary"])
    yield line("a custom transformer", before_trees(CUSTOM, ["clock"]), rows, targets["binary"])


def make_rows(count: int) -> list[dict[str, Value]]:
    """Make rows like those of a table of flights."""
    rng = np.random.default_rng(0)
    return [
        {
            "carrier": f"C{rng.integers(16)}",
            "dest": None if rng.random() < 0.05 else f"D{rng.integers(100)}",
            "day": dt.date(2013, 1, 1) + dt.timedelta(days=int(rng.integers(365))),
            "clock": int(rng.integers(5, 24)) * 100 + int(rng.integers(60)),
            "distance": None if rng.random() < 0.05 else float(rng.uniform(100, 2500)),
        }
        for _ in range(count)
    ]


def line(name: str, pipeline: Any, rows: list[dict[str, Value]], target: Any) -> str:
    """Fit the pipeline, choose the scoring path, time both paths; return a line of the table."""
    pipeline.fit(to_frame(COLUMNS, rows), target)
    choice, plan = choose_scoring(pipeline, COLUMNS, rows[:50])
    proba = getattr(pipeline, "predict_proba", pipeline.predict)

    def predict(batch: list[dict[str, Value]]) -> Any:
        return proba(to_frame(COLUMNS, batch))

    if plan is None:
        score = pipeline_scorer(pipeline, COLUMNS)
        one = interleaved(lambda i: score([rows[i]]), lambda i: predict([rows[i]]), 5, 5)
        many = interleaved(lambda _: score(rows[:1000]), lambda _: predict(rows[:1000]), 1, 1)
    else:
        one = interleaved(lambda i: plan.score_row(rows[i]), lambda i: predict([rows[i]]), 500, 5)
        many = interleaved(lambda _: plan.score_rows(rows[:1000]), lambda _: predict(rows[:1000]), 1, 1)
    cells = [name, path_of(choice), choice.exactness, *figures(*one), *figures(*many)]
    return "| " + " | ".join(cells) + " |"


def path_of(choice: ScoringChoice) -> str:
    """Describe how rows are scored."""
    return "row plan, array plan" if choice.path == "plan" else "pipeline"


def figures(ours: float, theirs: float) -> list[str]:
    """Format two times and their ratio."""
    return [
        duration(ours),
        duration(theirs),
        f"{theirs / ours:,.0f}x" if theirs / ours >= 10 else f"{theirs / ours:.1f}x",
    ]


def duration(seconds: float) -> str:
    """Format seconds as microseconds, or from 1 ms as milliseconds."""
    if seconds >= 1e-3:
        return f"{seconds * 1e3:,.1f} ms"
    return f"{seconds * 1e6:,.0f} µs" if seconds >= 1e-5 else f"{seconds * 1e6:.1f} µs"


def interleaved(
    ours: Callable[[int], Any], theirs: Callable[[int], Any], our_calls: int, their_calls: int
) -> tuple[float, float]:
    """Return the processor time per call of two functions in seconds, called alternately; medians of ROUNDS."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for call, count, seconds in ((ours, our_calls, times[0]), (theirs, their_calls, times[1])):
            start = time.process_time()
            for index in range(count):
                call(index)
            seconds.append((time.process_time() - start) / count)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
