"""Calibrate a fitted classifier's probabilities if that improves them on the validation part."""

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from skline.artifact.tuning import Calibration
from skline.errors import SklineError
from skline.row_weights import effective_rows

Method = Literal["auto", "off", "sigmoid", "isotonic"]
FOLDS = 5
#: What "auto" needs for a decision: validation rows, and rows of each class.
MIN_ROWS = 1_000
MIN_CLASS_ROWS = 50


def calibrate(
    estimator: Any,
    X: Any,
    truth: npt.NDArray[Any],
    method: Method,
    seed: int,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[Any, Calibration]:
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
    weights : float64 array of shape (n,), optional
        Of the rows. "auto" then counts effective rows.

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
        return _fit_calibration(estimator, X, truth, method, weights), record
    record = _choose_method(estimator, X, truth, seed, weights)
    if record.method == "off":
        return estimator, record
    return _fit_calibration(estimator, X, truth, record.method, weights), record


def _fit_calibration(
    estimator: Any, X: Any, truth: npt.NDArray[Any], method: str, weights: npt.NDArray[np.float64] | None
) -> Any:
    with warnings.catch_warnings():
        # The estimator was fitted by weights already; these are for the calibration alone.
        warnings.filterwarnings("ignore", "Since FrozenEstimator does not appear to accept sample_weight")
        return CalibratedClassifierCV(FrozenEstimator(estimator), method=method).fit(X, truth, weights)


def _choose_method(
    estimator: Any, X: Any, truth: npt.NDArray[Any], seed: int, weights: npt.NDArray[np.float64] | None
) -> Calibration:
    """Compare both methods with no calibration."""
    rows, rarest = _effective_counts(truth, weights)
    if rows < MIN_ROWS or rarest < MIN_CLASS_ROWS or len(np.unique(truth)) < len(estimator.classes_):
        return Calibration(
            method="off",
            reason=f"too few validation rows for a decision: {rows:.0f}, and {rarest:.0f} of the rarest class "
            f"({MIN_ROWS} and {MIN_CLASS_ROWS} are needed)",
        )
    probabilities = estimator.predict_proba(X)
    if hasattr(estimator, "decision_function"):
        scores = estimator.decision_function(X)
    else:
        scores = probabilities if len(estimator.classes_) > 2 else probabilities[:, -1]
    scores = scores.reshape(len(truth), -1)
    indicators = truth[:, None] == estimator.classes_[None, :]
    losses = {"off": _brier(probabilities, indicators)}
    for method in ("sigmoid", "isotonic"):
        losses[method] = np.empty(len(truth))
        for fit, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(scores, truth):
            fit_weights = None if weights is None else weights[fit]
            prefit = PrefitScores(estimator.classes_)
            calibrated = _fit_calibration(prefit, scores[fit], truth[fit], method, fit_weights)
            held_out_probabilities = calibrated.predict_proba(scores[held_out])
            losses[method][held_out] = _brier(held_out_probabilities, indicators[held_out])
    chosen: Literal["off", "sigmoid", "isotonic"] = "off"
    if _is_improved(losses["off"], losses["sigmoid"], weights):
        chosen = "sigmoid"
    if all(_is_improved(losses[other], losses["isotonic"], weights) for other in ("off", chosen)):
        chosen = "isotonic"
    means = {method: float(np.average(loss, weights=weights)) for method, loss in losses.items()}
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


def _is_improved(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None
) -> bool:
    """Whether the mean loss falls beyond chance; the variance of a weighted mean is that of its linearization."""
    gain = before - after
    if weights is None:
        return bool(gain.mean() > 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)))
    mean = np.average(gain, weights=weights)
    return bool(mean > 1.96 * np.sqrt(((weights * (gain - mean)) ** 2).sum()) / weights.sum())


def _effective_counts(truth: npt.NDArray[Any], weights: npt.NDArray[np.float64] | None) -> tuple[float, float]:
    """Return the effective number of rows, and of those of the rarest class."""
    if weights is None:
        return len(truth), int(np.unique(truth, return_counts=True)[1].min())
    return effective_rows(weights), min(effective_rows(weights[truth == each]) for each in np.unique(truth))


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
