"""Plans of dummy estimators: the same prediction for every row."""

from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter
from skline.scoring.estimators.base import EstimatorPlan, Link, Margin
from skline.scoring.matrix import Matrix
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, RowScore, Scores, UnsupportedStep


def read_dummy(checks: RowChecks, estimator: Any, matrix: Matrix) -> EstimatorPlan:  # noqa: ARG001
    """Read a DummyClassifier (unless it draws at random) or a DummyRegressor."""
    strategy = estimator.strategy
    if strategy in ("stratified", "uniform"):
        raise UnsupportedStep(f"DummyClassifier(strategy={strategy!r}) draws at random; use strategy='prior'")
    if estimator.n_outputs_ != 1:
        raise UnsupportedStep(f"{type(estimator).__name__} has {estimator.n_outputs_} targets; plans support one")
    row = np.zeros((1, 1))
    probabilities = estimator.predict_proba(row) if hasattr(estimator, "predict_proba") else None
    scores = Scores(np.asarray(estimator.predict(row)), probabilities)
    return EstimatorPlan(NoMargin(), ConstantLink(scores, getattr(estimator, "classes_", None)))


class NoMargin(Margin):
    """The margin of an estimator that computes nothing: None for a row, the number of rows for a batch."""

    exactness: Exactness = "bits"

    @override
    def emit(self, writer: CodeWriter) -> str:
        return writer.assign("None")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return batch.size


class ConstantLink(Link):
    """The same scores for every row."""

    # The dtype of its predictions is that of one class (a shorter string, say), so single rows must not be joined.
    depends_on_batch = True
    has_decision_function = False

    def __init__(self, scores: Scores, classes: Array | None) -> None:
        self.classes = classes
        self._scores = scores
        self._row_score = scores.row(0)

    @override
    def row_score(self, margin: Any) -> RowScore:
        return self._row_score

    @override
    def batch_scores(self, margins: Any) -> Scores:
        n_rows, probabilities = margins, self._scores.probabilities
        return Scores(
            np.repeat(self._scores.predictions, n_rows),
            None if probabilities is None else np.repeat(probabilities, n_rows, axis=0),
        )
