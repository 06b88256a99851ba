"""Classifiers and regressors around another one: thresholds, frozen estimators, transformed targets."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import NotPlannable, RowAnswer, Scores
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Link, Model, ReadModel, Value
from skline.scoring.read.functions import UFUNCS
from skline.scoring.source import Array


def read_threshold(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """FixedThresholdClassifier and TunedThresholdClassifierCV: another rule for the class."""
    inner = read(reading, getattr(estimator, "estimator_", estimator.estimator), matrix)
    tuned = hasattr(estimator, "best_threshold_")
    position = estimator._curve_scorer._get_pos_label() if tuned else estimator.pos_label
    methods = np.atleast_1d(estimator._get_response_method()).tolist()
    by_chance = methods[0] == "predict_proba"
    if by_chance is False and not inner.link.decides:
        raise NotPlannable(f"{type(estimator).__name__} uses {methods[0]} of an estimator that has none planned")
    threshold = estimator.best_threshold_ if tuned else estimator.threshold
    if isinstance(threshold, str):
        threshold = 0.5 if by_chance else 0.0
    return Model(inner.margin, Threshold(inner.link, float(threshold), position, by_chance=by_chance))


class Threshold(Link):
    """The class from a score that is at least the threshold; the probabilities stay."""

    def __init__(self, inner: Link, threshold: float, positive: Any, *, by_chance: bool) -> None:
        if inner.classes is None or len(inner.classes) != 2:
            raise NotPlannable("a threshold needs two classes")
        self.inner = inner
        self.classes: Array | None = inner.classes
        self.batchwise = inner.batchwise
        self.decides = inner.decides
        self.threshold = threshold
        self.by_chance = by_chance
        self.column = 1 if positive is None else int(np.flatnonzero(inner.classes == positive)[0])
        order = [1 - self.column, self.column]
        self._classes = inner.classes[order]
        self._labels = self._classes.tolist()

    @override
    def answer(self, margin: Any) -> RowAnswer:
        _, chances = self.inner.answer(margin)
        from_margin = margin if self.column else -margin
        score = chances[self.column] if self.by_chance and chances is not None else from_margin
        return self._labels[score >= self.threshold], chances

    @override
    def answers(self, margins: Any) -> Scores:
        chances = self.inner.answers(margins).probabilities
        if self.by_chance and chances is not None:
            scores = chances[:, self.column]
        else:
            scores = margins if self.column else -margins
        return Scores(self._classes[(scores >= self.threshold).astype(np.intp)], chances)


def read_frozen(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """FrozenEstimator: the estimator in it."""
    return read(reading, estimator.estimator, matrix)


def read_transformed_target(reading: Reading, estimator: Any, matrix: Matrix, read: ReadModel) -> Model:
    """TransformedTargetRegressor whose inverse is a NumPy function that is known."""
    inner = read(reading, estimator.regressor_, matrix)
    if type(inner.link) is not Value:
        raise NotPlannable("TransformedTargetRegressor is planned around regressors alone")
    inverse = getattr(estimator.transformer_, "inverse_func", "no function")
    known = [ufunc for ufunc in UFUNCS if ufunc is inverse]
    if estimator.transformer is not None or not (known or inverse is None) or estimator._training_dim != 1:
        raise NotPlannable("TransformedTargetRegressor is planned with inverse_func=np.expm1, np.exp and their like")
    return Model(inner.margin, Inverse(inner.link, known[0] if known else None))


class Inverse(Link):
    """A regressor's number, put through a NumPy function."""

    classes: Array | None = None
    batchwise = False
    decides = False

    def __init__(self, inner: Link, inverse: Any) -> None:
        self.inner = inner
        self.inverse = inverse

    @override
    def answer(self, margin: Any) -> RowAnswer:
        value = self.inner.answer(margin)[0]
        return (value if self.inverse is None else self.inverse(value).item()), None

    @override
    def answers(self, margins: Any) -> Scores:
        values = self.inner.answers(margins).predictions
        return Scores(values if self.inverse is None else self.inverse(values), None)
