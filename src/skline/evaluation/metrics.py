"""Metrics of predictions against the truth; a metric that is not a finite number is an error."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from skline.errors import SklineError

Array = npt.NDArray[Any]


def binary_metrics(truth: Array, scores: npt.NDArray[np.float64], threshold: float) -> dict[str, float]:
    """Judge probabilities of the positive class.

    Parameters
    ----------
    truth : bool array of shape (n,)
    scores : float64 array of shape (n,)
        Probability of the positive class.
    threshold : float
        F1, precision and recall count a score from here on as positive.

    Returns
    -------
    dict with roc_auc, pr_auc (average precision), brier, log_loss, ece (expected calibration error over ten
    bins of equal count, Naeini et al. 2015), f1, precision, recall, positive_rate.
    """
    said = scores >= threshold
    return _finite(
        {
            "roc_auc": sk.roc_auc_score(truth, scores),
            "pr_auc": sk.average_precision_score(truth, scores),
            "brier": sk.brier_score_loss(truth, scores),
            "log_loss": sk.log_loss(truth, scores),
            "ece": expected_calibration_error(truth, scores),
            "f1": sk.f1_score(truth, said, zero_division=0.0),
            "precision": sk.precision_score(truth, said, zero_division=0.0),
            "recall": sk.recall_score(truth, said),
            "positive_rate": said.mean(),
        }
    )


def multiclass_metrics(truth: Array, probabilities: npt.NDArray[np.float64], classes: Array) -> dict[str, float]:
    """Judge probabilities of three or more classes; means over classes give each the same weight.

    `probabilities` has shape (n, n_classes), in the order of `classes`.
    """
    said = classes[probabilities.argmax(axis=1)]
    hits = truth[:, None] == classes[None, :]
    return _finite(
        {
            "roc_auc": sk.roc_auc_score(truth, probabilities, multi_class="ovr", labels=classes),
            "pr_auc": float(
                np.mean([sk.average_precision_score(h, p) for h, p in zip(hits.T, probabilities.T, strict=True)])
            ),
            "brier": float(((probabilities - hits) ** 2).sum(axis=1).mean()),
            "log_loss": sk.log_loss(truth, probabilities, labels=classes),
            "ece": expected_calibration_error(truth == said, probabilities.max(axis=1)),
            "accuracy": sk.accuracy_score(truth, said),
            "f1": sk.f1_score(truth, said, average="macro", zero_division=0.0),
            "precision": sk.precision_score(truth, said, average="macro", zero_division=0.0),
            "recall": sk.recall_score(truth, said, average="macro", zero_division=0.0),
        }
    )


def regression_metrics(truth: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]) -> dict[str, float]:
    """Judge predicted numbers of shape (n,): rmse, mae, median_ae in the target's unit, and r2."""
    return _finite(
        {
            "rmse": sk.root_mean_squared_error(truth, predictions),
            "mae": sk.mean_absolute_error(truth, predictions),
            "median_ae": sk.median_absolute_error(truth, predictions),
            "r2": sk.r2_score(truth, predictions),
        }
    )


def expected_calibration_error(truth: Array, scores: npt.NDArray[np.float64], bins: int = 10) -> float:
    """Mean distance between predicted and observed rate, over bins of equal count."""
    order = np.argsort(scores, kind="stable")
    gaps = [
        abs(float(scores[rows].mean()) - float(truth[rows].mean())) * len(rows)
        for rows in np.array_split(order, bins)
        if len(rows)
    ]
    return sum(gaps) / len(scores)


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Return plain floats; SklineError names those that are NaN or infinite."""
    numbers = {name: float(value) for name, value in values.items()}
    broken = {name: value for name, value in numbers.items() if not math.isfinite(value)}
    if broken:
        raise SklineError(
            f"evaluate: {broken} is no number; look for missing or infinite predictions, or a test part too small"
        )
    return numbers
