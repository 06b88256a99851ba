"""Compare the estimator that `skline init` chooses with skrub's defaults: boosting, a linear model and a forest.

`uv run --group bench python -m benchmarks.defaults` writes docs/benchmarks/defaults.md. On each outer fold
`skline init` chooses by its own cross-validation on the training rows alone; all pipelines are fitted on these rows and
scored on the test rows of the fold, by log loss or RMSE. The standard error of a mean difference is corrected for the
overlap of training parts as Nadeau and Bengio (2003) do. The choice is "worse" on a table if the whole 95 % interval of
its difference to the best of the other three, which is known only afterwards, is on the wrong side of zero.
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV

from benchmarks.tables import PROBLEMS, Problem
from skline.contract.spec import Column, Contract
from skline.init.codegen.pipeline_source import render_pipeline
from skline.init.dry_run import imported_source
from skline.init.estimator_choice import Fold, choose_estimator, corrected_error, make_folds, score
from skline.stages.train import set_params

FloatArray = npt.NDArray[np.float64]
PAGE = Path(__file__).parent.parent / "docs/benchmarks/defaults.md"
#: Column by which the rows of a table are ordered; its folds are forward in time.
TIMES = {"rain": "date", "weather": "date", "temperatures": "date", "late": "departure"}
#: Small, wide, sparse, skewed, ordered in time, with free text, with rare classes.
TABLES = (
    "breast_cancer", "titanic", "hearts", "hdma", "rare", "wide", "sparse", "late", "wine", "chile", "heroes",
    "weather", "diabetes", "slid", "forbes", "medical", "doctor", "cars93", "rain", "temperatures", "ames", "shops",
)  # fmt: skip
#: What the choice is compared with: each is skrub's `tabular_pipeline` of an estimator.
RIVALS = ("boosting", "linear", "forest")


def rival(name: str, contract: Contract) -> Any:
    """Return an unfitted pipeline of skrub."""
    import skrub

    if contract.task == "regression":
        estimators = {"linear": RidgeCV(alphas=np.logspace(-2, 4, 13)), "forest": RandomForestRegressor(random_state=0)}
        return skrub.tabular_pipeline(estimators.get(name, "regressor"))
    estimators = {"linear": LogisticRegression(max_iter=1000), "forest": RandomForestClassifier(random_state=0)}
    return skrub.tabular_pipeline(estimators.get(name, "classifier"))


def prepare(key: str, max_rows: int) -> tuple[Problem, Contract, str]:
    """Return a table of at most `max_rows` rows, its contract, and the kind of its split."""
    loaded = PROBLEMS[key]()
    rows = loaded.rows.sample(min(len(loaded.rows), max_rows), random_state=0)
    if key not in TIMES:
        return (
            Problem(loaded.name, loaded.source, rows.reset_index(drop=True), loaded.contract),
            loaded.contract,
            "random",
        )
    rows = rows.sort_values(TIMES[key], kind="stable", ignore_index=True)
    rows = rows.assign(event_time=rows[TIMES[key]])
    time = Column(name="event_time", kind="datetime", role="time")
    contract = loaded.contract.model_copy(update={"columns": (*loaded.contract.columns, time)})
    return Problem(loaded.name, loaded.source, rows, contract), contract, "time"


def score_fold(problem: Problem, contract: Contract, kind: str, fold: Fold, seconds: float) -> tuple[str, list[float]]:
    """Return the family that is chosen on the training rows of a fold, and the losses of all pipelines."""
    train, test = (problem.rows.iloc[positions].reset_index(drop=True) for positions in fold)
    choice = choose_estimator(train, contract, {"kind": kind}, seconds)
    columns = tuple(column for column in contract.columns if column.name not in choice.excluded)
    narrowed = contract.model_copy(update={"columns": columns})
    with imported_source(render_pipeline(narrowed, choice.estimator)) as module:
        ours = module.build_pipeline(narrowed)
    set_params(ours, {}, 17)
    losses = [score(ours, narrowed, train, test)]
    losses += [score(rival(name, contract), contract, train, test) for name in RIVALS]
    return choice.estimator.family, losses


@dataclass(frozen=True)
class Comparison:
    """The mean losses on one table, and the difference of the choice to the best rival.

    Attributes
    ----------
    chosen : str
        The families that were chosen, with the number of folds.
    losses : float64 array of shape (4,)
        Of the choice and of RIVALS.
    difference, half_width : float
        Of the choice's loss less the best rival's, and of its 95 % interval.
    """

    table: str
    source: str
    shape: str
    metric: str
    chosen: str
    losses: FloatArray
    difference: float
    half_width: float

    @property
    def verdict(self) -> str:
        """Whether the choice is worse or better than the best rival, or neither with confidence."""
        return (
            "worse" if self.difference > self.half_width else "better" if self.difference < -self.half_width else "same"
        )


def compare(key: str, max_rows: int, seconds: float, jobs: int) -> Comparison:
    """Compare all pipelines on one table."""
    problem, contract, kind = prepare(key, max_rows)
    folds = make_folds(problem.rows, contract, kind)
    measured = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(score_fold)(problem, contract, kind, fold, seconds) for fold in folds
    )
    losses = np.array([one for _, one in measured])
    differences = losses[:, 0] - losses[:, 1 + losses[:, 1:].mean(axis=0).argmin()]
    share = float(np.mean([len(test) / (len(train) + len(test)) for train, test in folds]))
    half_width = float(stats.t.ppf(0.975, len(folds) - 1) * corrected_error(differences, share))
    families = Counter(family for family, _ in measured)
    return Comparison(
        table=problem.name + (" (in time)" if kind == "time" else ""),
        source=problem.source,
        shape=f"{len(problem.rows):,} × {len(contract.input_names)}",
        metric="RMSE" if contract.task == "regression" else "log loss",
        chosen=", ".join(f"{family} {count}" for family, count in families.most_common()),
        losses=losses.mean(axis=0),
        difference=float(differences.mean()),
        half_width=half_width,
    )


HEADER = """# The chosen estimator against three defaults

`skline init` compares estimators by cross-validation and writes the best ([training](../training.md)). Here it chooses
{seconds:g} seconds at most on the training rows of each outer fold, and is compared with `skrub.tabular_pipeline` of
boosting (`HistGradientBoosting`), of a linear model (`RidgeCV`, `LogisticRegression`) and of a forest
(`RandomForest`) on the same folds: five, or three that are forward in time. Losses are log loss or RMSE: lower is
better.

*Difference* is the loss of the choice less that of the best of the three, which nobody knows beforehand, with its 95 %
interval (variance corrected for overlapping training parts after Nadeau and Bengio, 2003). "worse" and "better" mean
that the interval does not include zero. Tables have at most {rows:,} rows.
`uv run --group bench python -m benchmarks.defaults` measures again.

On {tables} tables the choice is better than the best of the three on {better}, the same within the noise on {same},
and worse on {worse}. The geometric mean of the ratios of its loss to that of boosting is {boosting:.3f}, of the linear
model {linear:.3f}, of the forest {forest:.3f}.

| table | from | rows × inputs | metric | chosen (folds) | choice | boosting | linear | forest | difference | verdict |
|---|---|--:|---|---|--:|--:|--:|--:|--:|---|
"""


def page(comparisons: Sequence[Comparison], max_rows: int, seconds: float) -> str:
    """Return the page of results as Markdown."""
    counts = Counter(comparison.verdict for comparison in comparisons)
    losses = np.array([comparison.losses for comparison in comparisons])
    ratios = np.exp(np.log(losses[:, :1] / losses[:, 1:]).mean(axis=0))
    header = HEADER.format(
        seconds=seconds,
        rows=max_rows,
        tables=len(comparisons),
        **{verdict: counts[verdict] for verdict in ("better", "same", "worse")},
        **dict(zip(RIVALS, ratios, strict=True)),
    )
    return header + "".join(line(comparison) for comparison in comparisons)


def line(comparison: Comparison) -> str:
    """Return the row of a table."""
    losses = " | ".join(f"{loss:.4g}" for loss in comparison.losses)
    return (
        f"| {comparison.table} | {comparison.source} | {comparison.shape} | {comparison.metric} | {comparison.chosen} "
        f"| {losses} | {comparison.difference:+.3g} ± {comparison.half_width:.2g} | {comparison.verdict} |\n"
    )


def main() -> None:
    """Compare the pipelines, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[*PROBLEMS, []], help="compare on these only, and write no page")
    parser.add_argument("--rows", type=int, default=3_000, help="rows of a table at most (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each choice (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    comparisons = []
    for key in options.tables or TABLES:
        comparisons.append(compare(key, options.rows, options.seconds, options.jobs))
        print(line(comparisons[-1]), end="", flush=True)
    if not options.tables:
        PAGE.write_text(page(comparisons, options.rows, options.seconds), encoding="utf-8")


if __name__ == "__main__":
    main()
