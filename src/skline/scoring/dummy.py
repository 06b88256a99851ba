"""Dummies: the same answer for every row."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, NotPlannable, RowAnswer, Scores
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Link, Margin, Model
from skline.scoring.source import Array, Batch, Source


def read_dummy(reading: Reading, estimator: Any, matrix: Matrix) -> Model:  # noqa: ARG001
    """DummyClassifier (unless it draws at random) and DummyRegressor."""
    strategy = estimator.strategy
    if strategy in ("stratified", "uniform"):
        raise NotPlannable(f"DummyClassifier(strategy={strategy!r}) draws at random; use strategy='prior'")
    if estimator.n_outputs_ != 1:
        raise NotPlannable(f"{type(estimator).__name__} has {estimator.n_outputs_} targets; a plan has one")
    row = np.zeros((1, 1))
    chances = estimator.predict_proba(row) if hasattr(estimator, "predict_proba") else None
    answer = Scores(np.asarray(estimator.predict(row)), chances)
    return Model(Nothing(), Constant(answer, getattr(estimator, "classes_", None)))


class Nothing(Margin):
    """No margin: the batch's size is all that is needed."""

    exactness: Exactness = "bits"

    @override
    def emit(self, source: Source) -> str:
        return source.assign("None")

    @override
    def values(self, batch: Batch) -> Any:
        return batch.size


class Constant(Link):
    """The same answer for every row."""

    # Its predictions have the dtype of one class (a shorter text, say): no batch is put together of rows.
    batchwise = True
    decides = False

    def __init__(self, scores: Scores, classes: Array | None) -> None:
        self.classes = classes
        self._scores = scores
        self._row = scores.row(0)

    @override
    def answer(self, margin: Any) -> RowAnswer:
        return self._row

    @override
    def answers(self, margins: Any) -> Scores:
        chances = self._scores.probabilities
        return Scores(
            np.repeat(self._scores.predictions, margins),
            None if chances is None else np.repeat(chances, margins, axis=0),
        )
