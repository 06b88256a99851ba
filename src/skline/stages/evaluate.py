"""Judge the fitted pipeline on the test part, once, beside a dummy and a linear baseline."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skline import paths
from skline.artifact import Golden
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation import leaks, points, refits
from skline.evaluation.baselines import fit_baselines
from skline.evaluation.bootstrap import intervals, outside, paired
from skline.evaluation.importance import importance, scorer
from skline.evaluation.metrics import binary_metrics, multiclass_metrics, regression_metrics
from skline.evaluation.sampled import HIGHER, LOWER, sampled
from skline.evaluation.segments import gaps, segments
from skline.scoring.answers import Scores
from skline.scoring.golden import disagreement
from skline.scoring.reference import score_frame
from skline.settings_evaluation import Evaluate
from skline.tuning.record import Interval, Tuning
from skline.tuning.tune import bare, threshold_of

#: What models are compared by, unless params.yaml says otherwise.
METRIC = {"binary": "roc_auc", "multiclass": "roc_auc", "regression": "rmse"}
#: Resamples behind the differences from the baselines, whose gates look at the differences alone.
FEWER = 200
#: What a calibration is there to change.
OF_CALIBRATION = ("brier", "log_loss", "ece")


class Evaluated(NamedTuple):
    """Metrics by model, tables for plots, and `details`: intervals, segments and all else that was found."""

    metrics: dict[str, Any]
    details: dict[str, Any]
    plots: dict[str, pd.DataFrame]


def evaluate(
    pipeline: Any,
    train: pd.DataFrame,
    test: pd.DataFrame,
    contract: Contract,
    settings: Evaluate,
    *,
    seed: int,
    tuning: Tuning | None = None,
) -> Evaluated:
    """Score the test part with the pipeline and with baselines fitted on the training part.

    Raises
    ------
    SklineError
        If a metric, an interval or a prediction is not a finite number.
    """
    frame = test[contract.input_names]
    truth = test[contract.target.name].to_numpy()
    threshold, metric = threshold_of(pipeline), chosen_metric(contract, settings)
    score = scorer(pipeline, contract)
    said = {"model": score(frame)}
    for name, baseline in fit_baselines(train, contract, settings.baseline_rows, seed).items():
        said[name] = score_frame(baseline, frame)
    metrics: dict[str, Any] = {"rows": len(test)}
    metrics |= {name: judge(truth, scores, contract, threshold) for name, scores in said.items()}
    models = {name: sampled(truth, scores, contract, threshold) for name, scores in said.items()}
    ends = intervals(models["model"], settings.resamples, seed)
    if missing := outside(metrics["model"], ends):
        raise SklineError(f"evaluate: {missing} have no interval: {len(test)} test rows are too few to resample")
    found, small = segments(
        test, said["model"], contract, threshold, settings.crossings, settings.min_segment_rows, seed
    )
    differences = {
        name: paired(models["model"], models[name], metric, min(settings.resamples, FEWER), seed)
        for name in ("dummy", "linear")
    }
    details: dict[str, Any] = {
        "metric": metric,
        "threshold": threshold if contract.task == "binary" else None,
        "tuning": tuning.model_dump() if tuning else None,
        "intervals": {"resamples": settings.resamples, "model": ends},
        "against": {name: found and found.model_dump() for name, found in differences.items()},
        "uncalibrated": _uncalibrated(pipeline, frame, truth, contract, tuning),
        "coverage": coverage(truth, said["model"], tuning.interval) if tuning and tuning.interval else None,
        "segments": found,
        "small_segments": small,
        "gaps": gaps(test, said["model"], contract, settings.min_segment_rows, settings.resamples, seed),
        "importance": [],
        "leaks": {"duplicates": leaks.duplicates(train, test, contract), "adversarial": None},
        "seeds": None,
        "learning_curve": None,
    }
    if settings.importance_rows:
        details["importance"] = importance(score, test, contract, threshold, metric, settings.importance_rows, seed)
    if settings.leak_rows:
        details["leaks"]["adversarial"] = leaks.adversarial(train, test, contract, settings.leak_rows, seed)
    if settings.seeds:
        details["seeds"] = refits.seeds(pipeline, train, test, contract, metric, settings.seeds, seed)
    if settings.learning_curve:
        curve = refits.learning_curve(pipeline, train, test, contract, metric, seed)
        details["learning_curve"] = [*curve, {"rows": len(train), "value": metrics["model"][metric]}]
    return Evaluated(metrics, details, _plots(truth, said["model"], contract, threshold))


def chosen_metric(contract: Contract, settings: Evaluate) -> str:
    """Return what models are compared by; SklineError if there is no such metric, or it has no better and worse."""
    metric = settings.metric or METRIC[contract.task]
    known = {
        "binary": ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "f1", "precision", "recall"),
        "multiclass": ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "accuracy", "f1", "precision", "recall"),
        "regression": ("rmse", "mae", "median_ae", "r2"),
    }[contract.task]
    if metric not in known or metric not in HIGHER | LOWER:
        raise SklineError(f"evaluate.metric: {metric!r} is none of {', '.join(known)}")
    return metric


def judge(truth: Any, scores: Scores, contract: Contract, threshold: float) -> dict[str, float]:
    """Compute the metrics that suit the task."""
    answers = scores.predictions if scores.probabilities is None else scores.probabilities
    if not np.isfinite(answers).all():
        raise SklineError(f"evaluate: {int((~np.isfinite(answers)).sum())} predictions are not finite numbers")
    if scores.probabilities is None:
        return regression_metrics(truth.astype(np.float64), scores.predictions)
    if contract.task == "binary":
        return binary_metrics(_positive(truth, contract), scores.probabilities[:, 1], threshold)
    return multiclass_metrics(truth, scores.probabilities, np.asarray(contract.classes))


def coverage(truth: Any, scores: Scores, interval: Interval) -> dict[str, float]:
    """Share of test rows whose truth lies within the interval around the prediction, with its 95 % interval."""
    inside = np.abs(scores.predictions - truth) <= interval.half_width
    share = float(inside.mean())
    off = float(1.96 * np.sqrt(share * (1 - share) / len(inside)))
    return interval.model_dump() | {"coverage": share, "low": max(0.0, share - off), "high": min(1.0, share + off)}


def _uncalibrated(
    pipeline: Any, frame: pd.DataFrame, truth: Any, contract: Contract, tuning: Tuning | None
) -> dict[str, float] | None:
    """What the calibration changed: the same metrics of the model without it; None where there is none."""
    if tuning is None or tuning.calibration is None or tuning.calibration.method == "off":
        return None
    raw = bare(pipeline)
    judged = judge(truth, scorer(raw, contract)(frame), contract, 0.5)
    return {name: judged[name] for name in OF_CALIBRATION}


def _positive(truth: Any, contract: Contract) -> Any:
    """Whether each row is of the second class, the one whose probability is reported."""
    return truth == (contract.classes or ())[1]


def _plots(truth: Any, scores: Scores, contract: Contract, threshold: float) -> dict[str, pd.DataFrame]:
    """Collect the tables for plots that suit the task."""
    if scores.probabilities is None:
        tables = {"residuals": points.residuals(truth, scores.predictions)}
    elif contract.task == "binary":
        tables = points.binary_points(_positive(truth, contract), scores.probabilities[:, 1], threshold)
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
    """Read the model and the split; prove the model, write metrics, details and plot points to reports/."""
    import joblib

    from skline.files import read_contract, read_json, read_table, write_json, write_text
    from skline.numbers import interval, short
    from skline.settings import Settings

    settings, contract = Settings.load(), read_contract(paths.CONTRACT)
    keys = [column.name for column in (*contract.with_role("id"), *contract.with_role("group"))]
    train = read_table(paths.part("train"), [*contract.input_names, contract.target.name, *keys])
    test = read_table(paths.part("test"))
    pipeline, golden = joblib.load(paths.MODEL), Golden.model_validate(read_json(paths.GOLDEN))
    prove(pipeline, contract, golden)
    tuning = Tuning.model_validate(read_json(paths.TUNING))
    result = evaluate(pipeline, train, test, contract, settings.evaluate, seed=settings.train.seed, tuning=tuning)
    write_json(paths.METRICS, result.metrics)
    write_json(paths.EVALUATION, result.details)
    for name, table in result.plots.items():
        write_text(paths.PLOTS / f"{name}.csv", table.to_csv(index=False))
    print(f"{len(golden.rows)} golden rows equal in a new process")
    ends = result.details["intervals"]["model"]
    for name, value in result.metrics["model"].items():
        print(f"{name} {short(value)}, {interval(*ends[name])}")
