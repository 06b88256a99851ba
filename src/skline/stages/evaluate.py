"""Evaluate the fitted pipeline on the test part, once, and compare it with a dummy and a linear baseline."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline import paths
from skline.artifact import GoldenRows
from skline.artifact.provenance import pipeline_libraries
from skline.artifact.tuning import Interval, Tuning
from skline.contract.rare_classes import rare_class_remedy
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.evaluation import leakage, stability
from skline.evaluation.baselines import fit_baselines
from skline.evaluation.bootstrap import confidence_intervals, metrics_without_interval, paired_difference
from skline.evaluation.frame_scorers import ScoreFrame, fitted_scorer
from skline.evaluation.gaps import group_gaps
from skline.evaluation.importance import permutation_importance
from skline.evaluation.metric_values import compute_metrics
from skline.evaluation.metrics import (
    DEFAULT_METRIC,
    calibration_metrics,
    comparison_metrics,
    describe_metrics,
    without_interval,
)
from skline.evaluation.plots import CONFUSION_TEMPLATE, plot_tables
from skline.evaluation.resampling import Sample, make_sample
from skline.evaluation.rounding import round_metrics, round_significant
from skline.evaluation.rows import Rows
from skline.evaluation.segments import segment_metrics
from skline.parallel import LOCAL, Workers, parallel
from skline.scoring.equality import describe_exactness
from skline.scoring.golden_verification import compare_pipeline
from skline.scoring.reference import score_frame
from skline.scoring.scores import Scores
from skline.settings.evaluation import Evaluate
from skline.tuning.tune import remove_tuning, threshold_of

#: Resamples behind the differences from the baselines: only their gates use them, and need no narrow intervals.
BASELINE_RESAMPLES = 200
#: Steps of the quantiles of the scores, which monitoring compares later scores with.
SCORE_QUANTILES = 200


class Evaluated(NamedTuple):
    """Metrics by model; tables for plots; and `details`: intervals, segments and all other results."""

    metrics: dict[str, Any]
    details: dict[str, Any]
    plots: dict[str, pd.DataFrame]


def evaluate(
    pipeline: Any,
    train: pd.DataFrame | Rows,
    test: pd.DataFrame | Rows,
    contract: Contract,
    settings: Evaluate,
    *,
    seed: int,
    tuning: Tuning | None = None,
    workers: Workers = LOCAL,
) -> Evaluated:
    """Score the test part with the pipeline and with baselines fitted on the training part.

    Of all rows only the predictions, the target and the segment columns are held in memory.

    Raises
    ------
    SklineError
        If a metric, an interval or a prediction is not a finite number.
    """
    train, test = Rows.of(train), Rows.of(test)
    labelled = test.read(label_columns(contract))
    truth = labelled[contract.target.name].to_numpy()
    threshold, metric = threshold_of(pipeline), comparison_metric(contract, settings)
    scores, samples = _score_models(pipeline, train, test, truth, contract, settings, seed)
    metrics: dict[str, Any] = {"rows": test.n_rows}
    metrics |= {name: compute_metrics(sample) for name, sample in samples.items()}
    intervals = _intervals(samples["model"], metrics["model"], truth, contract, settings, seed, workers)
    segments, small_segments = segment_metrics(
        labelled, scores, contract, threshold, settings.crossings, settings.min_segment_rows, seed, workers
    )
    details: dict[str, Any] = {
        "metric": metric,
        "descriptions": describe_metrics(contract.task),
        "threshold": threshold if contract.task == "binary" else None,
        "tuning": tuning.model_dump() if tuning else None,
        "intervals": intervals,
        "against": _differences(samples, metric, settings, seed, workers),
        "uncalibrated": _without_calibration(pipeline, test, truth, contract, tuning),
        "coverage": coverage(truth, scores, tuning.interval) if tuning and tuning.interval else None,
        "segments": segments,
        "small_segments": small_segments,
        "gaps": group_gaps(labelled, scores, contract, settings.min_segment_rows),
        "importance": [],
        "scores": score_quantiles(scores),
        "leaks": {"duplicates": leakage.count_duplicates(train, test, contract), "adversarial": None},
    }
    if settings.importance_rows:
        details["importance"] = permutation_importance(
            pipeline, test, contract, threshold, metric, settings.importance_rows, seed, workers
        )
    if settings.leak_rows:
        details["leaks"]["adversarial"] = leakage.adversarial_validation(
            train, test, contract, settings.leak_rows, seed
        )
    details |= _refit(pipeline, train, test, contract, settings, metric, metrics["model"][metric], seed, workers)
    return Evaluated(metrics, details, plot_tables(samples["model"]))


def _score_models(
    pipeline: Any,
    train: Rows,
    test: Rows,
    truth: npt.NDArray[Any],
    contract: Contract,
    settings: Evaluate,
    seed: int,
) -> tuple[Scores, dict[str, Sample]]:
    """Return the pipeline's scores of the test part, and by name the scored rows of "model" and of each baseline."""
    baselines = fit_baselines(train, contract, settings.baseline_rows, seed)
    scorers: list[ScoreFrame] = [fitted_scorer(pipeline, contract)]
    scorers += [partial(score_frame, each.estimator) for each in baselines.values()]
    scores, *baseline_scores = test.score(scorers, contract.input_names)
    samples = {"model": finite_sample(truth, scores, contract, threshold_of(pipeline))}
    for (name, baseline), each in zip(baselines.items(), baseline_scores, strict=True):
        samples[name] = finite_sample(truth, each, contract, baseline.threshold)
    return scores, samples


def _intervals(
    sample: Sample,
    metrics: Mapping[str, Any],
    truth: npt.NDArray[Any],
    contract: Contract,
    settings: Evaluate,
    seed: int,
    workers: Workers,
) -> dict[str, Any]:
    """Return the intervals of the model's metrics; SklineError if one that should have an interval has none."""
    intervals = confidence_intervals(sample, settings.resamples, seed, workers)
    without = without_interval(contract.task)
    if missing := [name for name in metrics_without_interval(metrics, intervals) if name not in without]:
        raise SklineError(_no_interval_message(missing, truth, contract))
    return {"resamples": settings.resamples, "model": intervals, "without": without}


def _differences(
    samples: Mapping[str, Sample], metric: str, settings: Evaluate, seed: int, workers: Workers
) -> dict[str, Any]:
    """Return by the name of each baseline how much better the model is, with its interval."""
    resamples = min(settings.resamples, BASELINE_RESAMPLES)
    differences = {
        name: paired_difference(samples["model"], samples[name], metric, resamples, seed, workers=workers)
        for name in ("dummy", "linear")
    }
    return {name: each and each.model_dump() for name, each in differences.items()}


def _refit(
    pipeline: Any,
    train: Rows,
    test: Rows,
    contract: Contract,
    settings: Evaluate,
    metric: str,
    value: float,
    seed: int,
    workers: Workers,
) -> dict[str, Any]:
    """Return what fits with other seeds and on fewer rows show, each if the settings ask for it."""
    seeds, curve = None, None
    if not (settings.seeds or settings.learning_curve):
        return {"seeds": None, "learning_curve": None}
    names = [*contract.input_names, contract.target.name]
    train_rows, test_rows = train.read(names), test.read(names)
    if settings.seeds:
        seeds = stability.fit_with_seeds(
            pipeline, train_rows, test_rows, contract, metric, settings.seeds, seed, workers
        )
    if settings.learning_curve:
        curve = stability.learning_curve(pipeline, train_rows, test_rows, contract, metric, seed, workers)
        curve = [*curve, {"rows": train.n_rows, "value": value}]
    return {"seeds": seeds, "learning_curve": curve}


def _no_interval_message(names: list[str], truth: npt.NDArray[Any], contract: Contract) -> str:
    """Return why metrics have no interval: too many resamples have no value of them."""
    message = (
        f"evaluate: {', '.join(names)} has no value on too many bootstrap resamples of {len(truth)} test rows, so it "
        "has no interval"
    )
    if contract.classes is not None:
        counts = pd.Series(truth).value_counts()
        message += " (rows by class: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + ")"
        message += "; a metric needs rows of every class that it is computed from: if a class is rare, "
        message += f"{rare_class_remedy(contract.target.name)}; otherwise"
    else:
        message += ":"
    return message + (
        " make the test part larger (split.test in params.yaml), or, for a metric of your own that cannot be "
        "resampled, declare Computation(interval=None)"
    )


def label_columns(contract: Contract) -> list[str]:
    """Return the columns by which predictions are judged: the target, and those of segments and of groups."""
    columns = [contract.target, *contract.segments, *(column for column in contract.columns if column.sensitive)]
    return list(dict.fromkeys(column.name for column in columns))


def comparison_metric(contract: Contract, settings: Evaluate) -> str:
    """Return the metric that models are compared by.

    Raises
    ------
    SklineError
        If evaluate.metric is not a metric of the task, or none whose values are better or worse.
    """
    metric = settings.metric or DEFAULT_METRIC[contract.task]
    if metric not in (names := comparison_metrics(contract.task)):
        raise SklineError(f"evaluate.metric: {metric!r} is unknown for this task; choose one of {', '.join(names)}")
    return metric


def finite_sample(truth: Any, scores: Scores, contract: Contract, threshold: float) -> Sample:
    """Return the scored rows of the test part.

    Raises
    ------
    SklineError
        If a prediction is not a finite number.
    """
    predictions = scores.predictions if scores.probabilities is None else scores.probabilities
    if not np.isfinite(predictions).all():
        raise SklineError(f"evaluate: {int((~np.isfinite(predictions)).sum())} predictions are not finite numbers")
    return make_sample(truth, scores, contract, threshold)


def summarize_metrics(metrics: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Select what `dvc metrics` shows: the model's metrics of scores, and the metric of comparison of the baselines.

    Parameters
    ----------
    metrics, details : mapping
        The metrics of model and baselines, and the details of the evaluation.
    """
    scored = [
        name for name, each in details["descriptions"].items() if each["better"] is not None and not each["of_classes"]
    ]
    summary = {"model": {name: metrics["model"][name] for name in scored if name in metrics["model"]}}
    baselines = {name: values for name, values in metrics.items() if isinstance(values, Mapping) and name != "model"}
    return summary | {name: {details["metric"]: values[details["metric"]]} for name, values in baselines.items()}


def coverage(truth: Any, scores: Scores, interval: Interval) -> dict[str, float]:
    """Return the share of test rows whose true value lies within the prediction interval, with its 95 % interval."""
    inside = np.abs(scores.predictions - truth) <= interval.half_width
    share = float(inside.mean())
    margin = float(1.96 * np.sqrt(share * (1 - share) / len(inside)))
    return interval.model_dump() | {
        "coverage": share,
        "low": max(0.0, share - margin),
        "high": min(1.0, share + margin),
    }


def score_quantiles(scores: Scores) -> list[float]:
    """Return quantiles of the scores at `SCORE_QUANTILES` equal steps from 0 to 1.

    A score is the probability of the second of two classes, the largest of more, or the predicted number.
    """
    if scores.probabilities is None:
        values = scores.predictions.astype(np.float64)
    else:
        values = scores.probabilities[:, 1] if scores.probabilities.shape[1] == 2 else scores.probabilities.max(axis=1)
    return [float(value) for value in np.quantile(values, np.linspace(0, 1, SCORE_QUANTILES + 1))]


def _without_calibration(
    pipeline: Any, test: Rows, truth: Any, contract: Contract, tuning: Tuning | None
) -> dict[str, float] | None:
    """Return the calibration metrics of the model without its calibration; None where it has none."""
    if tuning is None or tuning.calibration is None or tuning.calibration.method == "off":
        return None
    [scores] = test.score([fitted_scorer(remove_tuning(pipeline), contract)], contract.input_names)
    metrics = compute_metrics(finite_sample(truth, scores, contract, 0.5))
    return {name: metrics[name] for name in calibration_metrics(contract.task)}


def verify_golden_rows(pipeline: Any, contract: Contract, golden: GoldenRows) -> None:
    """Check that the pipeline, read from disk in a new process, predicts for the golden rows as when it was fitted.

    Raises
    ------
    SklineError
        If a prediction differs by more than the golden rows' exactness allows; the message names the first such row.
    """
    if difference := compare_pipeline(contract, pipeline, golden):
        raise SklineError(
            f"evaluate: the pipeline read from {paths.MODEL} does not predict as when it was fitted: {difference}; "
            "a step keeps state that its pickle loses, or the libraries have changed: run `dvc repro -sf train`, then "
            "`dvc repro`"
        )


def main() -> None:
    """Read the model and the split; verify the model, and write metrics, details and plot tables to reports/."""
    import joblib

    from skline.files import read_json, write_json, write_text
    from skline.reporting.format import format_number, format_optional_interval
    from skline.settings import Settings

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    train, test = Rows.stored(paths.part("train")), Rows.stored(paths.part("test"))
    pipeline, golden = joblib.load(paths.MODEL), GoldenRows.model_validate(read_json(paths.GOLDEN))
    verify_golden_rows(pipeline, contract, golden)
    tuning = Tuning.model_validate(read_json(paths.TUNING))
    with parallel(settings.engine, pipeline_libraries(pipeline)) as workers:
        result = evaluate(
            pipeline,
            train,
            test,
            contract,
            settings.evaluate,
            seed=settings.train.seed,
            tuning=tuning,
            workers=workers,
        )
    metrics = round_metrics(result.metrics, result.details["intervals"]["model"])
    write_json(paths.METRICS, metrics)
    write_json(paths.SUMMARY, summarize_metrics(metrics, result.details))
    details = round_significant(result.details)
    write_json(paths.EVALUATION, details)
    for name, table in result.plots.items():
        write_text(paths.PLOTS / f"{name}.csv", table.to_csv(index=False))
    write_text(paths.PLOTS / CONFUSION_TEMPLATE.name, CONFUSION_TEMPLATE.read_text(encoding="utf-8"))
    print(
        f"a new process predicts the same {describe_exactness(golden.exactness)} for the {len(golden.rows)} golden "
        "rows, by which every copy of the model is verified"
    )
    for name, value in metrics["model"].items():  # those of the file, so that the report shows the same digits
        print(f"{name} {format_number(value)}, {format_optional_interval(details['intervals']['model'][name])}")
