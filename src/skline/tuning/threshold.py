"""The operating threshold of a binary model: given, or the best by an objective on the validation part."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from skline.errors import SklineError
from skline.settings_threshold import Objective
from skline.tuning.record import Threshold

#: So many thresholds are tried: quantiles of the validation part's probabilities.
TRIED = 200


def set_threshold(
    estimator: Any, X: Any, truth: npt.NDArray[Any], positive: Any, wanted: float | Objective
) -> tuple[Any, Threshold]:
    """Let a fitted binary classifier say `positive` from a threshold on.

    Parameters
    ----------
    estimator : fitted classifier with two classes; `positive` is its second
    X : array of shape (n, n_features)
        The validation part as the estimator sees it.
    truth : array of shape (n,)
    positive : scalar
    wanted : float or Objective

    Returns
    -------
    A FixedThresholdClassifier around the estimator, or the estimator where the threshold is the usual 0.5; and the
    record.

    Raises
    ------
    SklineError
        If the estimator gives no probabilities.
    """
    if not hasattr(estimator, "predict_proba"):
        if wanted == 0.5:
            return estimator, Threshold(value=0.5, objective="the model's own rule")
        raise SklineError(
            f"train.threshold: {type(estimator).__name__} gives no probabilities; leave the threshold out"
        )
    if isinstance(wanted, Objective):
        chances = estimator.predict_proba(X)[:, 1]
        tuned = TunedThresholdClassifierCV(
            FrozenEstimator(estimator),
            scoring=make_scorer(objective_value, positive=positive, wanted=wanted),
            thresholds=np.unique(np.quantile(chances, np.linspace(0, 1, TRIED))),
            response_method="predict_proba",
            cv="prefit",
            refit=False,
        ).fit(X, truth)
        value, score = float(tuned.best_threshold_), float(tuned.best_score_)
        found = Threshold(value=value, objective=wanted.words() + " on the validation part", score=score)
    else:
        value, found = float(wanted), Threshold(value=float(wanted), objective="given in params.yaml")
    if value == 0.5:
        return estimator, found
    fixed = FixedThresholdClassifier(FrozenEstimator(estimator), threshold=value, response_method="predict_proba")
    return fixed.fit(X[:2], np.asarray(estimator.classes_)), found


def objective_value(truth: npt.NDArray[Any], said: npt.NDArray[Any], *, positive: Any, wanted: Objective) -> float:
    """What the objective makes best: F-beta, minus the mean cost, or precision where recall reaches its floor."""
    is_so, said_so = truth == positive, said == positive
    hits = int((is_so & said_so).sum())
    missed, alarms = int(is_so.sum()) - hits, int(said_so.sum()) - hits
    match wanted.objective:
        case "fbeta":
            square = wanted.beta**2
            weight = (1 + square) * hits + square * missed + alarms
            return (1 + square) * hits / weight if weight else 0.0
        case "cost":
            return -(wanted.false_positive * alarms + wanted.false_negative * missed) / len(truth)
    recall = hits / max(hits + missed, 1)
    # Below the floor any precision is worse than none, and the nearer to the floor the better.
    return hits / max(hits + alarms, 1) if recall >= wanted.floor else recall - 1
