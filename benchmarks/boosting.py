"""Compare one row by the plan with LightGBM, XGBoost and CatBoost, and with the pipeline, for docs/scoring.md.

Run `uv run --group catboost python -m benchmarks.boosting [--library NAME] [--rounds N]`. On each of three tables the
library fits its own estimator on a DataFrame, with its own treatment of categories and missing values, and a Pipeline
like that of `skline init` fits the same kind of trees. One thread; the three alternate in one process; figures are
medians of rounds, in processor time, so that other processes on the machine change them less. The DataFrames of one row
are made in advance, which favours the library. Compare the ratios: absolute times depend on the machine.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from threadpoolctl import threadpool_limits

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.features import BoostingClassifier
from skline.files import write_text
from skline.scoring.planning import choose_scoring

PAGE = Path(__file__).parent.parent / "docs" / "scoring.md"
START, END = "<!-- table: benchmarks/boosting.py -->", "<!-- end: benchmarks/boosting.py -->"
#: Rows that are scored in turn, so that no cache holds the answer.
SCORED_ROWS = 50
#: How often a round scores them by the plan, which takes microseconds.
PLAN_PASSES = 20
ROWS = 5_000
TREES = 100


@dataclass(frozen=True)
class SampleTable:
    """Columns of a table, its rows, and its target, which depends on some of them."""

    name: str
    columns: tuple[Column, ...]
    rows: list[dict[str, Value]]
    target: np.ndarray[Any, Any]

    def names(self, kind: str) -> list[str]:
        """Return the columns of a kind."""
        return [column.name for column in self.columns if column.kind == kind]


def sample_table(name: str, numbers: int, categories: Mapping[str, int], missing: float) -> SampleTable:
    """Draw a table of numbers and of categories, whose number of values `categories` names."""
    rng = np.random.default_rng(7)
    frame: dict[str, np.ndarray[Any, Any]] = {f"x{i}": rng.normal(size=ROWS).round(3) for i in range(numbers)}
    frame |= {key: np.array([f"{key}{code}" for code in rng.integers(0, n, ROWS)]) for key, n in categories.items()}
    score = frame["x0"] + np.tanh(frame["x1"] * frame["x2"]) + rng.normal(0, 0.7, ROWS)
    for key, n in categories.items():
        score += rng.normal(0, 0.5, n)[np.unique(frame[key], return_inverse=True)[1]]
    gaps = {key: rng.random(ROWS) < missing for key in frame}
    columns = [
        Column(name=key, kind="string" if key in categories else "number", nullable=missing > 0) for key in frame
    ]
    rows: list[dict[str, Value]] = [
        {key: None if gaps[key][i] else values[i].item() for key, values in frame.items()} for i in range(ROWS)
    ]
    return SampleTable(name, tuple(columns), rows, (score > np.median(score)).astype(int))


def tables() -> Iterator[SampleTable]:
    """Yield the tables."""
    yield sample_table("8 numbers", 8, {}, 0)
    categories = {"city": 40, "plan": 3, "carrier": 16, "colour": 6, "region": 12, "segment": 5}
    yield sample_table("10 numbers, 6 categories, 10 % missing", 10, categories, 0.1)
    yield sample_table("300 numbers, 10 % missing", 300, {}, 0.1)


def own_estimator(library: str, cat_features: list[str]) -> Any:
    """Return the library's estimator, set to treat categories in its own way; CatBoost needs their names."""
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=TREES, n_jobs=1, verbosity=-1, random_state=0)
    if library == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=TREES, n_jobs=1, random_state=0, enable_categorical=True)
    from catboost import CatBoostClassifier

    settings = {"n_estimators": TREES, "thread_count": 1, "random_seed": 0, "verbose": False}
    given = {"cat_features": cat_features} if cat_features else {}
    return CatBoostClassifier(**settings, **given, allow_writing_files=False)


def own_frame(library: str, table: SampleTable, rows: list[dict[str, Value]]) -> pd.DataFrame:
    """Return rows as the library takes categories: of the dtype category, or for CatBoost as texts."""
    frame = to_frame(table.columns, rows)
    for name in table.names("string"):
        values = sorted({str(row[name]) for row in table.rows if row[name] is not None})
        is_text = library == "catboost"
        frame[name] = frame[name].fillna("missing") if is_text else frame[name].astype(pd.CategoricalDtype(values))
    return frame


def pipeline_of(library: str, table: SampleTable) -> Pipeline:
    """Return a pipeline like the one that `skline init --estimator` writes, with the settings of `own_estimator`."""
    categories, numbers = table.names("string"), table.names("number")
    encoder: Any = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, dtype=np.float64
    )
    if library == "catboost":
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    estimator = own_estimator(library, [])
    columns = ColumnTransformer([("category", encoder, categories), ("number", "passthrough", numbers)])
    encoded = 0 if library == "catboost" else len(categories)
    return Pipeline([("columns", columns), ("model", BoostingClassifier(estimator, categories=encoded))])


def lines(library: str, rounds: int) -> Iterator[str]:
    """Yield a line of the page for each table."""
    for table in tables():
        own = own_estimator(library, table.names("string")).fit(own_frame(library, table, table.rows), table.target)
        pipeline = pipeline_of(library, table).fit(to_frame(table.columns, table.rows), table.target)
        choice, plan = choose_scoring(pipeline, table.columns, table.rows[:SCORED_ROWS])
        assert plan is not None, choice.reason
        scored = table.rows[:SCORED_ROWS]
        times = interleaved(
            [
                (plan.score_row, scored * PLAN_PASSES),
                (own.predict_proba, [own_frame(library, table, [row]) for row in scored]),
                (pipeline.predict_proba, [to_frame(table.columns, [row]) for row in scored]),
            ],
            rounds,
        )
        microseconds, ratios = [seconds * 1e6 for seconds in times], [seconds / times[0] for seconds in times[1:]]
        yield (
            f"| {library} | {table.name} | {choice.exactness} | {microseconds[0]:,.0f} µs | {microseconds[1]:,.0f} µs "
            f"| {ratios[0]:,.0f}x | {microseconds[2]:,.0f} µs | {ratios[1]:,.0f}x |"
        )


def interleaved(functions: list[tuple[Callable[[Any], Any], list[Any]]], rounds: int) -> list[float]:
    """Return the seconds of processor time per call of functions that are called alternately.

    Parameters
    ----------
    functions : list of (function, the arguments with which each round calls it in turn)
    rounds : int
        The figures are the medians of this number of rounds.
    """
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for (call, arguments), seconds in zip(functions, times, strict=True):
            started = time.process_time()
            for argument in arguments:
                call(argument)
            seconds.append((time.process_time() - started) / len(arguments))
    return [statistics.median(seconds) for seconds in times]


def main() -> None:
    """Measure; write the table into the page unless only one library is measured."""
    libraries = ("lightgbm", "xgboost", "catboost")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.boosting", description=__doc__)
    parser.add_argument("--library", choices=libraries, help="measure this one only, and leave the page as it is")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (%(default)s)")
    options = parser.parse_args()
    found = [
        "| library | table | exactness | plan | library | ratio | pipeline | ratio |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in [options.library] if options.library else libraries:
            for line in lines(library, options.rounds):
                found.append(line)
                print(line, flush=True)
    if options.library is None:
        before, rest = PAGE.read_text(encoding="utf-8").split(START)
        write_text(PAGE, "\n".join([before + START, "", *found, "", END + rest.split(END)[1]]))


if __name__ == "__main__":
    main()
