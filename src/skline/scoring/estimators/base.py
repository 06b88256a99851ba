"""What is read from every fitted estimator: a margin (the sum it computes) and a link (the result made of the sum).

The split lets wrappers (calibration, thresholds) apply their own link to another estimator's margin. The links that
several estimators share are defined here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter
from skline.scoring.logistic import exact_logistic
from skline.scoring.matrix import Matrix
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import Exactness, FloatArray, RowScore, Scores


class Margin(Protocol):
    """The sum that an estimator computes.

    For one row it is a float or an array of shape (k,); for n rows an array of shape (n,) or (n, k).
    """

    exactness: Exactness

    def emit(self, writer: CodeWriter) -> str:
        """Write the code that computes it for one row, and return the name that holds it."""
        ...

    def evaluate(self, batch: BatchContext) -> Any:
        """Compute it for a batch."""
        ...


class Link(Protocol):
    """The predictions and probabilities that an estimator makes of its margin.

    Attributes
    ----------
    classes : ndarray or None
        None for regressors.
    depends_on_batch : bool
        Whether a row's last bits may depend on the other rows in its batch.
    has_decision_function : bool
        Whether scikit-learn's estimator has a decision_function, which then returns the margin.
    """

    classes: Array | None
    depends_on_batch: bool
    has_decision_function: bool

    def row_score(self, margin: Any) -> RowScore:
        """Return the prediction and the probabilities of one row as plain Python values."""
        ...

    def batch_scores(self, margins: Any) -> Scores:
        """Return the predictions and the probabilities of a batch."""
        ...


@dataclass(frozen=True)
class EstimatorPlan:
    """The arithmetic of a fitted estimator: a margin and its link."""

    margin: Margin
    link: Link


#: Reads an estimator that another one wraps.
ReadEstimator = Callable[[RowChecks, Any, Matrix], EstimatorPlan]


class BinaryLink(Link):
    """Two classes from one margin, by the logistic function.

    Parameters
    ----------
    classes : ndarray of shape (2,)
    second_at_zero : bool
        Whether a margin of exactly zero gives the second class (in GradientBoosting it does, in others it does not).
    factor : float
        The number by which the margin is multiplied (2 for the exponential loss).
    """

    depends_on_batch = False
    has_decision_function = True

    def __init__(self, classes: Array, *, second_at_zero: bool = False, factor: float = 1.0) -> None:
        self.classes: Array | None = classes
        self._labels = classes.tolist()
        self._logistic = exact_logistic()
        self._second_at_zero = second_at_zero
        self._factor = factor

    @override
    def row_score(self, margin: Any) -> RowScore:
        probability = float(self._logistic.of_one(self._factor * margin))
        is_second = margin > 0 or (self._second_at_zero and margin == 0)
        return self._labels[is_second], (1 - probability, probability)

    @override
    def batch_scores(self, margins: Any) -> Scores:
        probabilities = np.empty((len(margins), 2))
        probabilities[:, 1] = self._logistic.of_array(self._factor * margins)
        probabilities[:, 0] = 1 - probabilities[:, 1]
        is_second = margins >= 0 if self._second_at_zero else margins > 0
        return Scores(_select(self.classes, is_second.astype(np.intp)), probabilities)


class SoftmaxLink(Link):
    """More than two classes, with one margin each."""

    depends_on_batch = True
    has_decision_function = True

    def __init__(self, classes: Array) -> None:
        self.classes: Array | None = classes
        self._labels = classes.tolist()

    @override
    def row_score(self, margin: Any) -> RowScore:
        probabilities = _softmax(margin.reshape(1, -1))
        return self._labels[margin.argmax()], tuple(probabilities[0].tolist())

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return Scores(_select(self.classes, np.argmax(margins, axis=1)), _softmax(margins))


def _softmax(margins: FloatArray) -> FloatArray:
    """Repeat sklearn.utils.extmath.softmax operation by operation, in the memory layout of `margins`."""
    shifted: FloatArray = margins - margins.max(axis=1).reshape(-1, 1)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1).reshape(-1, 1)
    return shifted


class ProbabilityLink(Link):
    """Classes from probabilities that are the margin itself (trees and forests)."""

    depends_on_batch = False
    has_decision_function = False

    def __init__(self, classes: Array) -> None:
        self.classes: Array | None = classes
        self._labels = classes.tolist()

    @override
    def row_score(self, margin: Any) -> RowScore:
        probabilities = margin.tolist()
        return self._labels[probabilities.index(max(probabilities))], tuple(probabilities)

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return Scores(_select(self.classes, np.argmax(margins, axis=1)), margins)


class RegressionLink(Link):
    """A regressor's prediction: the margin, or its exponential.

    Parameters
    ----------
    inverse : callable or None
        The inverse of the loss's link function, a NumPy function; None for the identity.
    """

    classes: Array | None = None
    depends_on_batch = False
    has_decision_function = False

    def __init__(self, inverse: Any = None) -> None:
        self._inverse = inverse

    @override
    def row_score(self, margin: Any) -> RowScore:
        return (margin if self._inverse is None else self._inverse(margin).item()), None

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return Scores(margins if self._inverse is None else self._inverse(margins), None)


def _select(classes: Array | None, indices: npt.NDArray[np.intp]) -> Array:
    selected: Array = np.asarray(classes)[indices]
    return selected
