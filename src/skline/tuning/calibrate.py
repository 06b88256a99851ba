"""Whether a fitted classifier's probabilities are better calibrated, asked of the validation part."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from skline.errors import SklineError
from skline.tuning.record import Calibration

Method = Literal["auto", "off", "sigmoid", "isotonic"]
FOLDS = 5
#: What "auto" needs to decide anything: validation rows, and rows of each class.
LEAST_ROWS = 1_000
LEAST_OF_A_CLASS = 50


class Said(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that has answered already: its rows are the answers."""

    def __init__(self, classes: npt.NDArray[Any]) -> None:
        self.classes = classes
        self.classes_ = classes

    def fit(self, X: Any, y: Any) -> "Said":  # noqa: ARG002 - scikit-learn's signature
        """Nothing is left to learn."""
        return self

    def decision_function(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Give back what was said."""
        return X[:, 0] if X.shape[1] == 1 else X

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Return the class with the largest score."""
        scores = self.decision_function(X)
        said: npt.NDArray[Any] = self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]
        return said


def calibrate(estimator: Any, X: Any, truth: npt.NDArray[Any], method: Method, seed: int) -> tuple[Any, Calibration]:
    """Calibrate a fitted classifier if that is asked for, or if it helps.

    "auto" compares Brier scores, row by row, on folds of the validation part that a calibration had not seen, and
    calibrates where the mean gain is positive with 97.5 % confidence (normal approximation); isotonic regression
    must gain as much over the sigmoid. It can only say that the probabilities fit the validation part better: where
    the share of a class moves from month to month, no calibration on the months before can know.

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
        If a method is asked for by name and the estimator gives no scores.
    """
    if method == "off":
        return estimator, Calibration(method="off", reason="train.calibrate is off")
    if not hasattr(estimator, "predict_proba"):
        if method == "auto":
            return estimator, Calibration(method="off", reason="the model gives no probabilities")
        raise SklineError(f"train.calibrate: {type(estimator).__name__} gives no probabilities to calibrate")
    if method != "auto":
        return _around(estimator, X, truth, method), Calibration(method=method, reason=f"train.calibrate is {method}")
    found = _decide(estimator, X, truth, seed)
    return (estimator if found.method == "off" else _around(estimator, X, truth, found.method)), found


def _around(estimator: Any, X: Any, truth: npt.NDArray[Any], method: str) -> Any:
    return CalibratedClassifierCV(FrozenEstimator(estimator), method=method).fit(X, truth)


def _decide(estimator: Any, X: Any, truth: npt.NDArray[Any], seed: int) -> Calibration:
    """Compare both methods with none."""
    classes, counts = np.unique(truth, return_counts=True)
    if len(truth) < LEAST_ROWS or counts.min() < LEAST_OF_A_CLASS or len(classes) < len(estimator.classes_):
        return Calibration(
            method="off",
            reason=f"{len(truth)} validation rows, {counts.min()} of the rarest class, are too few to tell "
            f"(it takes {LEAST_ROWS} and {LEAST_OF_A_CLASS})",
        )
    plain = estimator.predict_proba(X)
    scores = estimator.decision_function(X) if hasattr(estimator, "decision_function") else plain[:, -1]
    if len(classes) > 2 and not hasattr(estimator, "decision_function"):
        scores = plain
    said = scores.reshape(len(truth), -1)
    hits = truth[:, None] == estimator.classes_[None, :]
    losses = {"off": _brier(plain, hits)}
    for method in ("sigmoid", "isotonic"):
        losses[method] = np.empty(len(truth))
        for rest, fold in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(said, truth):
            known = CalibratedClassifierCV(FrozenEstimator(Said(estimator.classes_)), method=method)
            chances = known.fit(said[rest], truth[rest]).predict_proba(said[fold])
            losses[method][fold] = _brier(chances, hits[fold])
    chosen: Literal["off", "sigmoid", "isotonic"] = "off"
    if _gains(losses["off"], losses["sigmoid"]):
        chosen = "sigmoid"
    if _gains(losses["off"], losses["isotonic"]) and _gains(losses[chosen], losses["isotonic"]):
        chosen = "isotonic"
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    said_of_it = ", ".join(f"{method} {mean:.5f}" for method, mean in means.items())
    return Calibration(
        method=chosen,
        reason=f"Brier score on {FOLDS} folds of the validation part: {said_of_it}; "
        + ("no gain beyond chance" if chosen == "off" else f"{chosen} gains beyond chance"),
        **{f"brier_{method}": mean for method, mean in means.items()},
    )


def _brier(chances: npt.NDArray[np.float64], hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Each row's Brier score; of two classes the one's, as everywhere."""
    loss: npt.NDArray[np.float64] = ((chances - hits) ** 2).sum(axis=1)
    return loss / 2 if hits.shape[1] == 2 else loss


def _gains(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> bool:
    """Whether `after` is smaller, beyond chance."""
    gain = before - after
    return bool(gain.mean() > 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)))
