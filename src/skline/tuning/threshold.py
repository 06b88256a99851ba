"""The operating threshold of a binary model: a given number, or the best by an objective on the validation part."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skline.artifact.tuning import Threshold
from skline.errors import SklineError
from skline.settings.training import Objective

#: Number of candidate thresholds: quantiles of the validation part's probabilities.
CANDIDATES = 200


def set_threshold(
    estimator: Any,
    X: Any,
    truth: npt.NDArray[Any],
    positive: Any,
    setting: float | Objective,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[Any, Threshold]:
    """Set the probability from which a fitted binary classifier predicts `positive`.

    Parameters
    ----------
    estimator : fitted classifier with two classes; `positive` is its second
    X : array of shape (n, n_features)
        The validation part as the estimator sees it.
    truth : array of shape (n,)
    positive : scalar
    setting : float or Objective
        `train.threshold` of params.yaml.
    weights : float64 array of shape (n,), optional
        Of the rows, for an objective.

    Returns
    -------
    A FixedThresholdClassifier around the estimator, or the estimator itself where the threshold is 0.5; and the record.

    Raises
    ------
    SklineError
        If the estimator has no probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        if setting == 0.5:
            return estimator, Threshold(value=0.5, objective="the model's own rule")
        raise SklineError(
            f"train.threshold: {type(estimator).__name__} has no probabilities; remove train.threshold from params.yaml"
        )
    if isinstance(setting, Objective):
        probabilities = estimator.predict_proba(X)[:, 1]
        tuned = TunedThresholdClassifierCV(
            FrozenEstimator(estimator),
            scoring=make_scorer(objective_value, positive=positive, objective=setting, weights=weights),
            thresholds=np.unique(np.quantile(probabilities, np.linspace(0, 1, CANDIDATES))),
            response_method="predict_proba",
            cv="prefit",
            refit=False,
        ).fit(X, truth)
        record = Threshold(
            value=float(tuned.best_threshold_),
            objective=setting.describe() + " on the validation part",
            score=float(tuned.best_score_),
        )
    else:
        record = Threshold(value=float(setting), objective="set in params.yaml")
    if record.value == 0.5:
        return estimator, record
    fixed = FixedThresholdClassifier(
        FrozenEstimator(estimator), threshold=record.value, response_method="predict_proba"
    )
    return fixed.fit(X[:2], np.asarray(estimator.classes_)), record


def objective_value(
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    *,
    positive: Any,
    objective: Objective,
    weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the value to maximise: F-beta, minus the mean cost, or precision where recall reaches its floor.

    All arrays have shape (n,); each row counts as much as its weight, by default 1.
    """
    is_positive, predicted_positive = truth == positive, predicted == positive
    counts = np.ones(len(truth)) if weights is None else weights
    hits = float(counts[is_positive & predicted_positive].sum())
    misses = float(counts[is_positive & ~predicted_positive].sum())
    false_alarms = float(counts[~is_positive & predicted_positive].sum())
    match objective.objective:
        case "fbeta":
            square = objective.beta**2
            weight = (1 + square) * hits + square * misses + false_alarms
            return (1 + square) * hits / weight if weight else 0.0
        case "cost":
            return -(objective.false_positive * false_alarms + objective.false_negative * misses) / float(counts.sum())
    recall = hits / (hits + misses) if hits + misses else 0.0
    # Below the floor the value is negative, so worse than any precision, and rises towards the floor.
    precision = hits / (hits + false_alarms) if hits + false_alarms else 0.0
    return precision if recall >= objective.floor else recall - 1
