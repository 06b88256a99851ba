"""Plans of estimators that wrap another one: thresholds, frozen estimators, transformed targets, boosting libraries."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array
from skline.scoring.estimators.base import EstimatorPlan, Link, ReadEstimator, RegressionLink
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import RowScore, Scores, UnsupportedStep
from skline.scoring.sklearn_internals import positive_label, response_method, target_dimensions
from skline.scoring.transformers.functions import UFUNCS


def read_threshold(checks: RowChecks, estimator: Any, matrix: Matrix, read: ReadEstimator) -> EstimatorPlan:
    """Read a FixedThresholdClassifier or TunedThresholdClassifierCV: another rule for the class."""
    inner = read(checks, getattr(estimator, "estimator_", estimator.estimator), matrix)
    method = response_method(estimator)
    on_probability = method == "predict_proba"
    if not on_probability and not inner.link.has_decision_function:
        raise UnsupportedStep(f"{type(estimator).__name__} uses {method}, which its estimator's plan does not have")
    threshold = getattr(estimator, "best_threshold_", None)
    if threshold is None:
        threshold = estimator.threshold
    if isinstance(threshold, str):
        threshold = 0.5 if on_probability else 0.0
    link = ThresholdLink(inner.link, float(threshold), positive_label(estimator), on_probability=on_probability)
    return EstimatorPlan(inner.margin, link)


class ThresholdLink(Link):
    """The class by comparing a score with a threshold; the probabilities are unchanged."""

    def __init__(self, inner: Link, threshold: float, positive_class: Any, *, on_probability: bool) -> None:
        if inner.classes is None or len(inner.classes) != 2:
            raise UnsupportedStep("a threshold needs two classes")
        self.inner = inner
        self.classes: Array | None = inner.classes
        self.depends_on_batch = inner.depends_on_batch
        self.has_decision_function = inner.has_decision_function
        self.threshold = threshold
        self.on_probability = on_probability
        self.column = 1 if positive_class is None else int(np.flatnonzero(inner.classes == positive_class)[0])
        order = [1 - self.column, self.column]
        self._classes = inner.classes[order]
        self._labels = self._classes.tolist()

    @override
    def row_score(self, margin: Any) -> RowScore:
        _, probabilities = self.inner.row_score(margin)
        signed_margin = margin if self.column else -margin
        score = probabilities[self.column] if self.on_probability and probabilities is not None else signed_margin
        return self._labels[score >= self.threshold], probabilities

    @override
    def batch_scores(self, margins: Any) -> Scores:
        probabilities = self.inner.batch_scores(margins).probabilities
        if self.on_probability and probabilities is not None:
            scores = probabilities[:, self.column]
        else:
            scores = margins if self.column else -margins
        return Scores(self._classes[(scores >= self.threshold).astype(np.intp)], probabilities)


def read_frozen(checks: RowChecks, estimator: Any, matrix: Matrix, read: ReadEstimator) -> EstimatorPlan:
    """Read the estimator that a FrozenEstimator wraps."""
    return read(checks, estimator.estimator, matrix)


def read_transformed_target(checks: RowChecks, estimator: Any, matrix: Matrix, read: ReadEstimator) -> EstimatorPlan:
    """Read a TransformedTargetRegressor whose inverse is one of UFUNCS."""
    inner = read(checks, estimator.regressor_, matrix)
    if type(inner.link) is not RegressionLink:
        raise UnsupportedStep("plans support TransformedTargetRegressor around regressors only")
    inverse = getattr(estimator.transformer_, "inverse_func", "no function")
    matches = [ufunc for ufunc in UFUNCS if ufunc is inverse]
    is_supported = bool(matches) or inverse is None
    if estimator.transformer is not None or not is_supported or target_dimensions(estimator) != 1:
        raise UnsupportedStep(
            "plans support TransformedTargetRegressor(inverse_func=…) with np.expm1, np.exp and the like"
        )
    return EstimatorPlan(inner.margin, InverseLink(inner.link, matches[0] if matches else None))


class InverseLink(Link):
    """A regressor's prediction, transformed by a NumPy function."""

    classes: Array | None = None
    depends_on_batch = False
    has_decision_function = False

    def __init__(self, inner: Link, inverse: Any) -> None:
        self.inner = inner
        self.inverse = inverse

    @override
    def row_score(self, margin: Any) -> RowScore:
        value = self.inner.row_score(margin)[0]
        return (value if self.inverse is None else self.inverse(value).item()), None

    @override
    def batch_scores(self, margins: Any) -> Scores:
        values = self.inner.batch_scores(margins).predictions
        return Scores(values if self.inverse is None else self.inverse(values), None)


def read_boosting(checks: RowChecks, estimator: Any, matrix: Matrix, read: ReadEstimator) -> EstimatorPlan:
    """Read a BoostingClassifier or BoostingRegressor, which give their estimator an array of float64."""
    check_names(matrix, estimator)
    inner = read(checks, estimator.estimator_, Matrix(as_floats(matrix, estimator, allow_float32=True), "array"))
    classes = getattr(estimator, "classes_", None)
    return inner if classes is None else EstimatorPlan(inner.margin, PositionLink(inner.link, classes))


class PositionLink(Link):
    """Classes by the positions that another link predicts; its probabilities."""

    def __init__(self, inner: Link, classes: Array) -> None:
        self.inner = inner
        self.classes: Array | None = classes
        self.depends_on_batch = inner.depends_on_batch
        self.has_decision_function = False
        self._classes = classes
        self._labels = classes.tolist()

    @override
    def row_score(self, margin: Any) -> RowScore:
        position, probabilities = self.inner.row_score(margin)
        return self._labels[position], probabilities

    @override
    def batch_scores(self, margins: Any) -> Scores:
        scores = self.inner.batch_scores(margins)
        return Scores(self._classes[scores.predictions], scores.probabilities)
