"""Is the default pipeline good? Repeated cross-validation against skrub's, with the same estimator family.

`uv run --group bench python -m benchmarks.defaults` writes docs/benchmarks/defaults.md. Both pipelines are fitted and
judged on the same folds, by the log loss and the area under the ROC curve (two classes) or the accuracy (several), or
by R² and the mean absolute error (numbers). The standard error of the mean difference is corrected for the overlap of
training parts as Nadeau and Bengio (2003) do; a table is "worse" where the 95 % interval of the difference lies wholly
on the wrong side of zero.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.metrics import log_loss, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from benchmarks.tables import MOST_ROWS, PROBLEMS, Problem
from skline.init.pipeline_source import TargetFacts, pipeline_source
from skline.stages.train import set_params

FloatArray = npt.NDArray[np.float64]
FOLDS = 5
PAGE = Path(__file__).parent.parent / "docs/benchmarks/defaults.md"
#: Metric → +1 where more is better, -1 where less is.
METRICS = {"binary": {"ROC-AUC": 1, "log loss": -1}, "multiclass": {"accuracy": 1, "log loss": -1}}
METRICS["regression"] = {"R²": 1, "MAE": -1}


def default(problem: Problem) -> Any:
    """The pipeline that `skline init` writes for the table."""
    facts = TargetFacts.of(problem.rows[problem.contract.target.name], problem.contract.task)
    namespace: dict[str, Any] = {}
    exec(pipeline_source(problem.contract, facts), namespace)  # noqa: S102 - our own text, which is what is judged
    return namespace["build_pipeline"](problem.contract)


def skrubs(problem: Problem) -> Any:
    """skrub's pipeline, given the dtypes it asks for."""
    import skrub

    return skrub.tabular_pipeline("regressor" if problem.contract.task == "regression" else "classifier")


def judge(pipeline: Any, problem: Problem, train: Any, test: Any, seed: int) -> list[float]:
    """Fit on one part and judge on the other: the task's two metrics."""
    contract = problem.contract
    X, y = problem.rows[contract.input_names], problem.rows[contract.target.name].to_numpy()
    fitted = clone(pipeline)
    set_params(fitted, {}, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X.iloc[train], y[train])
        if contract.task == "regression":
            said = fitted.predict(X.iloc[test])
            return [r2_score(y[test], said), mean_absolute_error(y[test], said)]
        chances = fitted.predict_proba(X.iloc[test])
    classes = list(fitted.classes_)
    if len(classes) == 2:
        return [
            roc_auc_score(y[test] == classes[1], chances[:, 1]),
            log_loss(y[test], chances, labels=classes),
        ]
    right = np.mean(fitted.classes_[np.argmax(chances, axis=1)] == y[test])
    return [float(right), log_loss(y[test], chances, labels=classes)]


def scores(problem: Problem, pipeline: Any, repeats: int, jobs: int = 2) -> FloatArray:
    """Every fold's metrics: shape (FOLDS * repeats, 2). The folds depend on the table alone."""
    y = problem.rows[problem.contract.target.name].to_numpy()
    kind = RepeatedKFold if problem.contract.task == "regression" else RepeatedStratifiedKFold
    folds = kind(n_splits=FOLDS, n_repeats=repeats, random_state=0).split(np.zeros(len(y)), y)
    judged = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(judge)(pipeline, problem, train, test, seed) for seed, (train, test) in enumerate(folds)
    )
    return np.array(judged)


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs in one metric, turned so that more is better."""

    metric: str
    ours: float
    theirs: float
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says."""
        return "worse" if self.high < 0 else "better" if self.low > 0 else "same"


def compare(metric: str, sign: int, ours: FloatArray, theirs: FloatArray) -> Difference:
    """Mean paired difference with its 95 % interval, after Nadeau and Bengio.

    Each of `ours` and `theirs` has shape (folds,). The variance of the mean is taken as (1/n + test/train) times the
    folds' variance, because training parts overlap.
    """
    differences = sign * (ours - theirs)
    n = len(differences)
    error = np.sqrt((1 / n + 1 / (FOLDS - 1)) * differences.var(ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1) * error)
    mean = float(differences.mean())
    return Difference(metric, float(ours.mean()), float(theirs.mean()), mean, mean - reach, mean + reach)


def compare_all(task: str, ours: FloatArray, theirs: FloatArray) -> list[Difference]:
    """Compare in each of the task's metrics."""
    pairs = enumerate(METRICS[task].items())
    return [compare(name, sign, ours[:, i], theirs[:, i]) for i, (name, sign) in pairs]


def measure(keys: Sequence[str], repeats: int) -> pd.DataFrame:
    """Judge both pipelines on each table: one row a table and metric."""
    rows = []
    for key in keys:
        problem = PROBLEMS[key]()
        task = problem.contract.task
        ours, theirs = (scores(problem, make(problem), repeats) for make in (default, skrubs))
        for difference in compare_all(task, ours, theirs):
            about = {"table": problem.name, "source": problem.source, "task": task, "rows": len(problem.rows)}
            rows.append(about | asdict(difference) | {"verdict": difference.verdict})
            print(f"{problem.name:22} {difference.metric:8} {difference.mean:+.4g} {difference.verdict}", flush=True)
    return pd.DataFrame(rows)


ABOUT = """# The default pipeline against skrub's

`skline init` writes a pipeline that nobody has tuned. Here it is compared with `skrub.tabular_pipeline`, which has the
same estimator family (HistGradientBoosting) at its defaults. Its settings were chosen on these same tables, by one
round of folds. Rounds here: {repeats}, of {folds} folds each, the same for both pipelines.

*Difference* is ours minus skrub's, turned so that more is better, with its 95 % interval (variance corrected for
overlapping training parts after Nadeau and Bengio, 2003). "worse" and "better" mean that the interval does not hold
zero. Tables are cut to at most {rows:,} rows. `uv run --group bench python -m benchmarks.defaults` measures anew.

Of {comparisons} comparisons on {tables} tables, {better} are better, {same} the same within the noise, {worse} worse.

| table | from | rows | metric | ours | skrub | difference (95 %) | verdict |
|---|---|--:|---|--:|--:|---|---|
"""


def page(measured: pd.DataFrame, repeats: int) -> str:
    """The page of results, in Markdown."""
    counts = {verdict: int((measured["verdict"] == verdict).sum()) for verdict in ("better", "same", "worse")}
    tables = measured["table"].nunique()
    about = ABOUT.format(
        folds=FOLDS, repeats=repeats, rows=MOST_ROWS, comparisons=len(measured), tables=tables, **counts
    )
    return about + "".join(
        f"| {row.table} | {row.source} | {row.rows:,} | {row.metric} | {row.ours:.4g} | {row.theirs:.4g} "
        f"| {row.mean:+.3g} ({row.low:+.3g} … {row.high:+.3g}) | {row.verdict} |\n"
        for row in measured.itertuples()
    )


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[*PROBLEMS, []], help="only these; writes no page")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    measured = measure(given.tables or list(PROBLEMS), given.repeats)
    if not given.tables:
        PAGE.write_text(page(measured, given.repeats), encoding="utf-8")


if __name__ == "__main__":
    main()
