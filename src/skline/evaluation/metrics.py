"""The registry of metrics: its entries are what metrics.json, the gates, the report, the model card and the page show.

To add a metric, add one `Metric` to `METRICS` (or call `register`). `skline.evaluation.metric_values` computes them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from sklearn import metrics as sk

from skline.evaluation.resampling import (
    BinaryResamples,
    BinarySample,
    Floats,
    MulticlassResamples,
    MulticlassSample,
    RegressionResamples,
    RegressionSample,
    Task,
    average_precision,
    roc_auc,
)

SampleT = TypeVar("SampleT")
ResamplesT = TypeVar("ResamplesT")


@dataclass(frozen=True)
class Computation(Generic[SampleT, ResamplesT]):
    """How a metric is computed for one task.

    Parameters
    ----------
    exact : callable
        Sample → number; NaN or ValueError where the sample has no value, such as an area of one class alone.
    resampled : callable, optional
        Resamples → float64 of shape (n_resamples,), NaN where a resample has no value. A sample of which each row is
        drawn once must give the same number as `exact`. Without it `exact` is called for each resample.
    interval : callable or None, optional
        Sample and confidence → both ends of the interval, where there is a formula for it; None for a metric that has
        no interval, such as an extreme, whose resamples never exceed the sample's own. Default: the bootstrap.
    """

    exact: Callable[[SampleT], Any]
    resampled: Callable[[ResamplesT], Floats] | None = None
    interval: Callable[[SampleT, float], tuple[float, float]] | Literal["bootstrap"] | None = "bootstrap"


@dataclass(frozen=True)
class Metric:
    """One entry of the registry.

    Parameters
    ----------
    name : str
        The key in metrics.json, in `gates.floors` and in `evaluate.metric`.
    label : str
        The name in reports.
    better : {"higher", "lower", None}
        Which values are better; None for a metric that models cannot be compared by.
    meaning : str
        What it measures, in a phrase for readers of the model's page.
    binary, multiclass, regression : Computation, optional
        How it is computed for each task that has it.
    of_classes : bool
        It depends on predicted classes at the operating threshold. The service's page leaves it to the model card.
    of_calibration : bool
        It is what a calibration can improve: reported with and without the calibration.
    """

    name: str
    label: str
    better: Literal["higher", "lower"] | None
    meaning: str
    binary: Computation[BinarySample, BinaryResamples] | None = None
    multiclass: Computation[MulticlassSample, MulticlassResamples] | None = None
    regression: Computation[RegressionSample, RegressionResamples] | None = None
    of_classes: bool = False
    of_calibration: bool = False

    def computation(self, task: Task) -> Computation[Any, Any] | None:
        """Return how the metric is computed for a task; None if the task does not have it."""
        computations: dict[Task, Computation[Any, Any] | None] = {
            "binary": self.binary, "multiclass": self.multiclass, "regression": self.regression,
        }  # fmt: skip
        return computations[task]


#: Every metric by name; reports list them in this order.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "roc_auc",
            "ROC AUC",
            "higher",
            "probability that a positive case ranks above a negative one; 0.5 is random, 1 is perfect",
            binary=Computation(lambda s: sk.roc_auc_score(s.truth, s.scores), lambda r: roc_auc(*r.counts)),
            multiclass=Computation(
                lambda s: sk.roc_auc_score(s.truth, s.probabilities, multi_class="ovr", labels=s.classes),
                lambda r: np.mean([roc_auc(*counts) for counts in r.counts], axis=0),
            ),
        ),
        Metric(
            "pr_auc",
            "Average precision",
            "higher",
            "precision averaged over all thresholds; 1 is perfect",
            binary=Computation(
                lambda s: sk.average_precision_score(s.truth, s.scores),
                lambda r: average_precision(*r.counts),
            ),
            multiclass=Computation(
                lambda s: np.mean(
                    [
                        sk.average_precision_score(is_class, probability)
                        for is_class, probability in zip(s.indicators.T, s.probabilities.T, strict=True)
                    ]
                ),
                lambda r: np.mean([average_precision(*counts) for counts in r.counts], axis=0),
            ),
        ),
        Metric(
            "brier",
            "Brier score",
            "lower",
            "mean squared error of the probabilities; 0 is perfect",
            binary=Computation(
                lambda s: sk.brier_score_loss(s.truth, s.scores),
                lambda r: r.mean_loss(r.sample.squared_losses),
            ),
            multiclass=Computation(
                lambda s: s.brier.mean(),
                lambda r: r.sample.brier[r.draws].mean(axis=1),
            ),
            of_calibration=True,
        ),
        Metric(
            "log_loss",
            "Log loss",
            "lower",
            "negative log-likelihood of the true classes; 0 is perfect",
            binary=Computation(
                lambda s: sk.log_loss(s.truth, s.scores),
                lambda r: r.mean_loss(r.sample.log_losses),
            ),
            multiclass=Computation(
                lambda s: sk.log_loss(s.truth, s.probabilities, labels=s.classes),
                lambda r: r.sample.log_loss[r.draws].mean(axis=1),
            ),
            of_calibration=True,
        ),
        Metric(
            "ece",
            "Calibration error",
            "lower",
            "root mean square gap between predicted probability and observed frequency, without what chance adds; "
            "0 is perfect",
            binary=Computation(
                lambda s: s.bins.error,
                lambda r: r.sample.bins.resampled_error(r.draws),
                lambda s, confidence: s.bins.interval(confidence),
            ),
            multiclass=Computation(
                lambda s: s.bins.error,
                lambda r: r.sample.bins.resampled_error(r.draws),
                lambda s, confidence: s.bins.interval(confidence),
            ),
            of_calibration=True,
        ),
        Metric(
            "accuracy",
            "Accuracy",
            "higher",
            "share of correct predictions; 1 is perfect",
            multiclass=Computation(
                lambda s: sk.accuracy_score(s.truth, s.predicted),
                lambda r: r.sample.correct[r.draws].mean(axis=1),
            ),
        ),
        Metric(
            "f1",
            "F1",
            "higher",
            "harmonic mean of precision and recall; 1 is perfect",
            binary=Computation(
                lambda s: sk.f1_score(s.truth, s.predicted, zero_division=0.0),
                lambda r: 2 * r.hits / (r.positive + r.predicted),
            ),
            multiclass=Computation(
                lambda s: sk.f1_score(s.truth, s.predicted, average="macro", zero_division=0.0),
                lambda r: (2 * r.hits / (r.confusion.sum(axis=2) + r.confusion.sum(axis=1))).mean(axis=1),
            ),
            of_classes=True,
        ),
        Metric(
            "precision",
            "Precision",
            "higher",
            "share of correct predictions among those of a class; 1 is perfect",
            binary=Computation(
                lambda s: sk.precision_score(s.truth, s.predicted, zero_division=0.0),
                lambda r: np.where(r.predicted > 0, r.hits / r.predicted, 0.0),
            ),
            multiclass=Computation(
                lambda s: sk.precision_score(s.truth, s.predicted, average="macro", zero_division=0.0),
                lambda r: np.where(r.confusion.sum(axis=1) > 0, r.hits / r.confusion.sum(axis=1), 0.0).mean(axis=1),
            ),
            of_classes=True,
        ),
        Metric(
            "recall",
            "Recall",
            "higher",
            "share of a class that is predicted as this class; 1 is perfect",
            binary=Computation(
                lambda s: sk.recall_score(s.truth, s.predicted),
                lambda r: r.hits / r.positive,
            ),
            multiclass=Computation(
                lambda s: sk.recall_score(s.truth, s.predicted, average="macro", zero_division=0.0),
                lambda r: (r.hits / r.confusion.sum(axis=2)).mean(axis=1),
            ),
            of_classes=True,
        ),
        Metric(
            "positive_rate",
            "Positive rate",
            None,
            "share of rows predicted positive",
            binary=Computation(lambda s: s.predicted.mean(), lambda r: r.predicted / r.n_drawn),
            of_classes=True,
        ),
        Metric(
            "rmse",
            "RMSE",
            "lower",
            "root mean squared error, in the target's unit",
            regression=Computation(
                lambda s: sk.root_mean_squared_error(s.truth, s.predictions),
                lambda r: np.sqrt(r.mean_squared_error),
            ),
        ),
        Metric(
            "mae",
            "Mean absolute error",
            "lower",
            "in the target's unit",
            regression=Computation(
                lambda s: sk.mean_absolute_error(s.truth, s.predictions),
                lambda r: r.absolute_errors.mean(axis=1),
            ),
        ),
        Metric(
            "median_ae",
            "Median absolute error",
            "lower",
            "half of the errors are smaller; in the target's unit",
            regression=Computation(
                lambda s: sk.median_absolute_error(s.truth, s.predictions),
                lambda r: np.median(r.absolute_errors, axis=1),
            ),
        ),
        Metric(
            "r2",
            "R²",
            "higher",
            "share of the variance explained; 1 is perfect",
            regression=Computation(
                lambda s: sk.r2_score(s.truth, s.predictions),
                lambda r: np.where(r.variance > 0, 1 - r.mean_squared_error / r.variance, np.nan),
            ),
        ),
    )
}
#: The metric that models are compared by, unless `evaluate.metric` in params.yaml names another metric.
DEFAULT_METRIC: dict[Task, str] = {"binary": "roc_auc", "multiclass": "roc_auc", "regression": "rmse"}
#: The metrics that the report shows large.
HEADLINE_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "pr_auc", "brier", "ece"),
    "multiclass": ("accuracy", "roc_auc", "f1", "ece"),
    "regression": ("rmse", "mae", "median_ae", "r2"),
}


def closed_form_metrics(task: Task) -> frozenset[str]:
    """Return the names of a task's metrics whose interval is no bootstrap."""
    return frozenset(metric.name for metric, computation in computations(task) if computation.interval != "bootstrap")


def without_interval(task: Task) -> list[str]:
    """Return the names of a task's metrics that have no interval by definition."""
    return [metric.name for metric, computation in computations(task) if computation.interval is None]


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """Return the metrics that a task has, in the order of the registry."""
    return tuple(metric for metric, _ in computations(task))


def comparison_metrics(task: Task) -> tuple[str, ...]:
    """Return the names of the metrics that models of a task can be compared by."""
    return tuple(metric.name for metric in metrics_of(task) if metric.better is not None)


def calibration_metrics(task: Task) -> tuple[str, ...]:
    """Return the names of the metrics that a calibration can improve."""
    return tuple(metric.name for metric in metrics_of(task) if metric.of_calibration)


def lower_is_better(name: str) -> bool:
    """Return whether smaller values of a metric are better; False for a name that is not registered."""
    return name in METRICS and METRICS[name].better == "lower"


def label_of(name: str) -> str:
    """Return the name of a metric in reports: its own name if it is not registered."""
    return METRICS[name].label if name in METRICS else name


def describe_metrics(task: Task) -> dict[str, dict[str, Any]]:
    """Return what readers of a metric need to know, by name, as reports/evaluation.json and the artifact hold it."""
    return {
        metric.name: {
            "label": metric.label,
            "better": metric.better,
            "meaning": metric.meaning,
            "of_classes": metric.of_classes,
        }
        for metric in metrics_of(task)
    }


def register(metric: Metric) -> None:
    """Add a metric to the registry; a name that is taken is a ValueError."""
    if metric.name in METRICS:
        raise ValueError(f"the metric {metric.name!r} is registered already; choose another name")
    METRICS[metric.name] = metric


def computations(task: Task) -> list[tuple[Metric, Computation[Any, Any]]]:
    """Return the metrics that a task has, each with how it is computed."""
    pairs = ((metric, metric.computation(task)) for metric in METRICS.values())
    return [(metric, computation) for metric, computation in pairs if computation is not None]
