"""Compare the default pipeline with skrub's, of the same estimator family, by repeated cross-validation.

`uv run --group bench python -m benchmarks.defaults` writes docs/benchmarks/defaults.md. Both pipelines are fitted and
scored on the same folds: by log loss and the area under the ROC curve (two classes), log loss and accuracy (more
classes), or R² and the mean absolute error (regression). The standard error of the mean difference is corrected for
the overlap of training parts as Nadeau and Bengio (2003) do; a pipeline is "worse" on a table if the whole 95 %
interval of the difference is on the wrong side of zero.
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

from benchmarks.tables import MAX_ROWS, PROBLEMS, Problem
from skline.init.codegen.estimators import TargetSummary, default_estimator
from skline.init.codegen.pipeline_source import render_pipeline
from skline.stages.train import set_params

FloatArray = npt.NDArray[np.float64]
FOLDS = 5
PAGE = Path(__file__).parent.parent / "docs/benchmarks/defaults.md"
#: Metric by task → +1 if higher is better, -1 if lower is.
METRICS = {"binary": {"ROC-AUC": 1, "log loss": -1}, "multiclass": {"accuracy": 1, "log loss": -1}}
METRICS["regression"] = {"R²": 1, "MAE": -1}


def default_pipeline(problem: Problem) -> Any:
    """Build the pipeline that `skline init --seconds 0` writes for the table."""
    summary = TargetSummary.from_values(problem.rows[problem.contract.target.name], problem.contract.task)
    namespace: dict[str, Any] = {}
    text = render_pipeline(problem.contract, default_estimator(summary, problem.contract.task))
    exec(text, namespace)  # noqa: S102 - our own text, which is what is measured
    return namespace["build_pipeline"](problem.contract)


def skrub_pipeline(problem: Problem) -> Any:
    """Build skrub's default pipeline for the task."""
    import skrub

    return skrub.tabular_pipeline("regressor" if problem.contract.task == "regression" else "classifier")


def score_fold(pipeline: Any, problem: Problem, train: Any, test: Any, seed: int) -> list[float]:
    """Fit on one part and score on the other; return the task's two metrics."""
    contract = problem.contract
    X, y = problem.rows[contract.input_names], problem.rows[contract.target.name].to_numpy()
    fitted = clone(pipeline)
    set_params(fitted, {}, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X.iloc[train], y[train])
        if contract.task == "regression":
            predictions = fitted.predict(X.iloc[test])
            return [r2_score(y[test], predictions), mean_absolute_error(y[test], predictions)]
        probabilities = fitted.predict_proba(X.iloc[test])
    classes = list(fitted.classes_)
    if len(classes) == 2:
        return [
            roc_auc_score(y[test] == classes[1], probabilities[:, 1]),
            log_loss(y[test], probabilities, labels=classes),
        ]
    accuracy = np.mean(fitted.classes_[np.argmax(probabilities, axis=1)] == y[test])
    return [float(accuracy), log_loss(y[test], probabilities, labels=classes)]


def cross_validate(problem: Problem, pipeline: Any, repeats: int, jobs: int = 2) -> FloatArray:
    """Return the metrics of every fold, of shape (FOLDS * repeats, 2). The folds depend only on the table."""
    y = problem.rows[problem.contract.target.name].to_numpy()
    kind = RepeatedKFold if problem.contract.task == "regression" else RepeatedStratifiedKFold
    folds = kind(n_splits=FOLDS, n_repeats=repeats, random_state=0).split(np.zeros(len(y)), y)
    fold_scores = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(score_fold)(pipeline, problem, train, test, seed) for seed, (train, test) in enumerate(folds)
    )
    return np.array(fold_scores)


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs in one metric, with the sign changed where lower is better, and its interval."""

    metric: str
    ours: float
    theirs: float
    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether ours is worse, better, or neither with confidence."""
        return "worse" if self.high < 0 else "better" if self.low > 0 else "same"


def compare(metric: str, sign: int, ours: FloatArray, theirs: FloatArray) -> Difference:
    """Return the mean paired difference with its 95 % interval, after Nadeau and Bengio.

    Each of `ours` and `theirs` has shape (folds,). The variance of the mean is taken as (1/n + test/train) times the
    folds' variance, because training parts overlap.
    """
    differences = sign * (ours - theirs)
    n = len(differences)
    error = np.sqrt((1 / n + 1 / (FOLDS - 1)) * differences.var(ddof=1))
    half_width = float(stats.t.ppf(0.975, n - 1) * error)
    mean = float(differences.mean())
    return Difference(metric, float(ours.mean()), float(theirs.mean()), mean, mean - half_width, mean + half_width)


def compare_all(task: str, ours: FloatArray, theirs: FloatArray) -> list[Difference]:
    """Compare the pipelines in each of the task's metrics."""
    pairs = enumerate(METRICS[task].items())
    return [compare(name, sign, ours[:, i], theirs[:, i]) for i, (name, sign) in pairs]


def measure(keys: Sequence[str], repeats: int) -> pd.DataFrame:
    """Compare both pipelines on each table; return one row for each table and metric."""
    rows = []
    for key in keys:
        problem = PROBLEMS[key]()
        task = problem.contract.task
        ours, theirs = (
            cross_validate(problem, build(problem), repeats) for build in (default_pipeline, skrub_pipeline)
        )
        for difference in compare_all(task, ours, theirs):
            table = {"table": problem.name, "source": problem.source, "task": task, "rows": len(problem.rows)}
            rows.append(table | asdict(difference) | {"verdict": difference.verdict})
            print(f"{problem.name:22} {difference.metric:8} {difference.mean:+.4g} {difference.verdict}", flush=True)
    return pd.DataFrame(rows)


HEADER = """# The default pipeline against skrub's

The pipeline that `skline init --seconds 0` writes, without a comparison of estimators, is compared with
`skrub.tabular_pipeline` at its defaults, which has the same estimator family (HistGradientBoosting). The default
settings of `skline init` were chosen on these same tables, by one round of folds. Rounds here: {repeats}, of {folds}
folds each, the same for both pipelines.

*Difference* is ours minus skrub's, with the sign changed where lower is better, and its 95 % interval (variance
corrected for overlapping training parts after Nadeau and Bengio, 2003). "worse" and "better" mean that the interval
does not include zero. Tables have at most {rows:,} rows. `uv run --group bench python -m benchmarks.defaults` measures
again.

Of {comparisons} comparisons on {tables} tables, {better} are better, {same} the same within the noise, {worse} worse.

| table | from | rows | metric | ours | skrub | difference (95 %) | verdict |
|---|---|--:|---|--:|--:|---|---|
"""


def page(measured: pd.DataFrame, repeats: int) -> str:
    """Return the page of results as Markdown."""
    counts = {verdict: int((measured["verdict"] == verdict).sum()) for verdict in ("better", "same", "worse")}
    tables = measured["table"].nunique()
    header = HEADER.format(
        folds=FOLDS, repeats=repeats, rows=MAX_ROWS, comparisons=len(measured), tables=tables, **counts
    )
    return header + "".join(
        f"| {row.table} | {row.source} | {row.rows:,} | {row.metric} | {row.ours:.4g} | {row.theirs:.4g} "
        f"| {row.mean:+.3g} ({row.low:+.3g} … {row.high:+.3g}) | {row.verdict} |\n"
        for row in measured.itertuples()
    )


def main() -> None:
    """Compare the pipelines, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[*PROBLEMS, []], help="compare on these only, and write no page")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    measured = measure(options.tables or list(PROBLEMS), options.repeats)
    if not options.tables:
        PAGE.write_text(page(measured, options.repeats), encoding="utf-8")


if __name__ == "__main__":
    main()
