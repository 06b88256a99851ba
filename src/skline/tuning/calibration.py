"""Calibrate a fitted classifier's probabilities if that improves them on the validation part."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from skline.artifact.tuning import Calibration
from skline.errors import SklineError

Method = Literal["auto", "off", "sigmoid", "isotonic"]
FOLDS = 5
#: What "auto" needs for a decision: validation rows, and rows of each class.
MIN_ROWS = 1_000
MIN_CLASS_ROWS = 50


def calibrate(estimator: Any, X: Any, truth: npt.NDArray[Any], method: Method, seed: int) -> tuple[Any, Calibration]:
    """Calibrate a fitted classifier with the given method, or with the one that helps.

    "auto" compares Brier scores, row by row, on folds of the validation part that the calibration was not fitted on.
    It calibrates where the mean gain is positive with 97.5 % confidence (normal approximation); isotonic regression
    must gain as much over the sigmoid. The decision holds for the validation part only: where the share of a class
    changes from month to month, no calibration on earlier months can correct that.

    Parameters
    ----------
    estimator : fitted classifier
    X : array of shape (n, n_features)
        The validation part as the estimator sees it.
    truth : array of shape (n,)
    method : {"auto", "off", "sigmoid", "isotonic"}
    seed : int
        Of the folds.

    Returns
    -------
    The estimator, or a CalibratedClassifierCV around it, and the record.

    Raises
    ------
    SklineError
        If the method is "sigmoid" or "isotonic" and the estimator has no probabilities.
    """
    if method == "off":
        return estimator, Calibration(method="off", reason="train.calibrate is off")
    if not hasattr(estimator, "predict_proba"):
        if method == "auto":
            return estimator, Calibration(method="off", reason="the model has no probabilities")
        raise SklineError(
            f"train.calibrate: {type(estimator).__name__} has no probabilities to calibrate; set it to auto or off"
        )
    if method != "auto":
        record = Calibration(method=method, reason=f"train.calibrate is {method}")
        return _fit_calibration(estimator, X, truth, method), record
    record = _choose_method(estimator, X, truth, seed)
    if record.method == "off":
        return estimator, record
    return _fit_calibration(estimator, X, truth, record.method), record


def _fit_calibration(estimator: Any, X: Any, truth: npt.NDArray[Any], method: str) -> Any:
    return CalibratedClassifierCV(FrozenEstimator(estimator), method=method).fit(X, truth)


def _choose_method(estimator: Any, X: Any, truth: npt.NDArray[Any], seed: int) -> Calibration:
    """Compare both methods with no calibration."""
    classes, counts = np.unique(truth, return_counts=True)
    if len(truth) < MIN_ROWS or counts.min() < MIN_CLASS_ROWS or len(classes) < len(estimator.classes_):
        return Calibration(
            method="off",
            reason=f"too few validation rows for a decision: {len(truth)}, and {counts.min()} of the rarest class "
            f"({MIN_ROWS} and {MIN_CLASS_ROWS} are needed)",
        )
    probabilities = estimator.predict_proba(X)
    if hasattr(estimator, "decision_function"):
        scores = estimator.decision_function(X)
    else:
        scores = probabilities if len(classes) > 2 else probabilities[:, -1]
    scores = scores.reshape(len(truth), -1)
    indicators = truth[:, None] == estimator.classes_[None, :]
    losses = {"off": _brier(probabilities, indicators)}
    for method in ("sigmoid", "isotonic"):
        losses[method] = np.empty(len(truth))
        for fit, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(scores, truth):
            calibrated = CalibratedClassifierCV(FrozenEstimator(PrefitScores(estimator.classes_)), method=method)
            held_out_probabilities = calibrated.fit(scores[fit], truth[fit]).predict_proba(scores[held_out])
            losses[method][held_out] = _brier(held_out_probabilities, indicators[held_out])
    chosen: Literal["off", "sigmoid", "isotonic"] = "off"
    if _is_improved(losses["off"], losses["sigmoid"]):
        chosen = "sigmoid"
    if _is_improved(losses["off"], losses["isotonic"]) and _is_improved(losses[chosen], losses["isotonic"]):
        chosen = "isotonic"
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    scores_text = ", ".join(f"{method} {mean:.5f}" for method, mean in means.items())
    return Calibration(
        method=chosen,
        reason=f"Brier score on {FOLDS} folds of the validation part: {scores_text}; "
        + ("no gain beyond chance" if chosen == "off" else f"{chosen} gains beyond chance"),
        **{f"brier_{method}": mean for method, mean in means.items()},
    )


def _brier(probabilities: npt.NDArray[np.float64], indicators: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return each row's Brier score: of two classes that of one, as everywhere in the evaluation."""
    loss: npt.NDArray[np.float64] = ((probabilities - indicators) ** 2).sum(axis=1)
    return loss / 2 if indicators.shape[1] == 2 else loss


def _is_improved(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> bool:
    """Whether the mean loss falls beyond chance."""
    gain = before - after
    return bool(gain.mean() > 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)))


class PrefitScores(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier whose inputs are scores that another classifier has computed already.

    It lets a calibration be fitted on folds without scoring the rows again for each fold.
    """

    def __init__(self, classes: npt.NDArray[Any]) -> None:
        self.classes = classes
        self.classes_ = classes

    def fit(self, X: Any, y: Any) -> "PrefitScores":  # noqa: ARG002 - scikit-learn's signature
        """Return self."""
        return self

    def decision_function(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the scores."""
        return X[:, 0] if X.shape[1] == 1 else X

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Return the class with the largest score."""
        scores = self.decision_function(X)
        index = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        predicted: npt.NDArray[Any] = self.classes_[index]
        return predicted
