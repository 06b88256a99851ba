"""Judge the fitted pipeline on the test part, once, beside a dummy and a linear baseline."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skline import paths
from skline.artifact import Golden
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation import points
from skline.evaluation.baselines import fit_baselines
from skline.evaluation.metrics import binary_metrics, multiclass_metrics, regression_metrics
from skline.scoring.answers import Scores
from skline.scoring.golden import disagreement
from skline.scoring.reference import score_frame
from skline.settings import Evaluate


class Evaluated(NamedTuple):
    """Metrics by model, metrics by segment, and tables for plots."""

    metrics: dict[str, Any]
    segments: list[dict[str, Any]]
    plots: dict[str, pd.DataFrame]


def evaluate(
    pipeline: Any, train: pd.DataFrame, test: pd.DataFrame, contract: Contract, settings: Evaluate, *, seed: int
) -> Evaluated:
    """Score the test part with the pipeline and with baselines fitted on the training part.

    Raises
    ------
    SklineError
        If a metric, or a prediction, is not a finite number.
    """
    frame = test[contract.input_names]
    truth = test[contract.target.name].to_numpy()
    baselines = fit_baselines(train, contract, settings.baseline_rows, seed)
    scores = score_frame(pipeline, frame)
    metrics: dict[str, Any] = {"rows": len(test), "model": judge(truth, scores, contract, settings)}
    for name, baseline in baselines.items():
        metrics[name] = judge(truth, score_frame(baseline, frame), contract, settings)
    return Evaluated(metrics, _segments(test, scores, contract, settings), _plots(truth, scores, contract, settings))


def judge(truth: Any, scores: Scores, contract: Contract, settings: Evaluate) -> dict[str, float]:
    """Compute the metrics that suit the task."""
    answers = scores.predictions if scores.probabilities is None else scores.probabilities
    if not np.isfinite(answers).all():
        raise SklineError(f"evaluate: {int((~np.isfinite(answers)).sum())} predictions are not finite numbers")
    if scores.probabilities is None:
        return regression_metrics(truth.astype(np.float64), scores.predictions)
    if contract.task == "binary":
        return binary_metrics(_positive(truth, contract), scores.probabilities[:, 1], settings.threshold)
    return multiclass_metrics(truth, scores.probabilities, np.asarray(contract.classes))


def _positive(truth: Any, contract: Contract) -> Any:
    """Whether each row is of the second class, the one whose probability is reported."""
    return truth == (contract.classes or ())[1]


def _segments(test: pd.DataFrame, scores: Scores, contract: Contract, settings: Evaluate) -> list[dict[str, Any]]:
    """Judge every value of every segment column that has enough rows and, for a classifier, all classes."""
    found: list[dict[str, Any]] = []
    truth = test[contract.target.name].to_numpy()
    for column in contract.segments:
        for value, rows in test.groupby(column.name, dropna=False, sort=True).indices.items():
            if len(rows) < settings.min_segment_rows:
                continue
            if contract.classes is not None and len(np.unique(truth[rows])) < len(contract.classes):
                continue
            judged = judge(truth[rows], scores[rows], contract, settings)
            found.append({"column": column.name, "value": str(value), "rows": len(rows)} | judged)
    return found


def _plots(truth: Any, scores: Scores, contract: Contract, settings: Evaluate) -> dict[str, pd.DataFrame]:
    """Collect the tables for plots that suit the task."""
    if scores.probabilities is None:
        tables = {"residuals": points.residuals(truth, scores.predictions)}
    elif contract.task == "binary":
        tables = points.binary_points(_positive(truth, contract), scores.probabilities[:, 1], settings.threshold)
    else:
        tables = {"confusion": points.confusion(truth, scores.predictions)}
    return points.complete(tables)


def prove(pipeline: Any, contract: Contract, golden: Golden) -> None:
    """Answer the golden rows: in a new process, a pipeline read from disk must answer as it did when it was fitted.

    Raises
    ------
    SklineError
        Naming the first row whose answer differs in a bit.
    """
    if found := disagreement(contract, pipeline, golden):
        raise SklineError(
            f"evaluate: the pipeline read from {paths.MODEL} does not answer as when it was fitted: {found}; "
            "a step keeps state that its pickle loses, or the libraries changed since: run `dvc repro -f train`"
        )


def main() -> None:
    """Read the model and the split; prove the model, write metrics, segments and plot points to reports/."""
    import joblib

    from skline.files import read_contract, read_json, read_table, write_json, write_text
    from skline.settings import Settings

    settings, contract = Settings.load(), read_contract(paths.CONTRACT)
    train = read_table(paths.part("train"), [*contract.input_names, contract.target.name])
    test = read_table(paths.part("test"))
    pipeline, golden = joblib.load(paths.MODEL), Golden.model_validate(read_json(paths.GOLDEN))
    prove(pipeline, contract, golden)
    result = evaluate(pipeline, train, test, contract, settings.evaluate, seed=settings.train.seed)
    write_json(paths.METRICS, result.metrics)
    write_json(paths.EVALUATION, {"segments": result.segments})
    for name, table in result.plots.items():
        write_text(paths.PLOTS / f"{name}.csv", table.to_csv(index=False))
    print(f"{len(golden.rows)} golden rows equal in a new process")
    print(", ".join(f"{name} {value:.4f}" for name, value in result.metrics["model"].items()))
