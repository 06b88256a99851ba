"""The last step of a pipeline, read: a margin (what is added up) and a link (what is made of it).

The split lets the wrappers (calibration, thresholds) put their own link on another model's margin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray, RowAnswer, Scores
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.source import Array, Batch, Source


class Margin(Protocol):
    """What an estimator adds up: for one row a float or an array of shape (k,); for n, (n,) or (n, k)."""

    exactness: Exactness

    def emit(self, source: Source) -> str:
        """Write what computes it for one row, and return the name that holds it."""
        ...

    def values(self, batch: Batch) -> Any:
        """Compute it for a batch."""
        ...


class Link(Protocol):
    """What an estimator makes of its margin.

    `batchwise` says that a row's last bits may depend on the other rows in its batch; `decides` that
    scikit-learn's estimator has a decision_function, which is then the margin.
    """

    classes: Array | None
    batchwise: bool
    decides: bool

    def answer(self, margin: Any) -> RowAnswer:
        """Prediction and probabilities of one row, as plain Python values."""
        ...

    def answers(self, margins: Any) -> Scores:
        """The same for a batch."""
        ...


@dataclass(frozen=True)
class Model:
    """A margin and its link."""

    margin: Margin
    link: Link


#: Reads an estimator that another one holds.
ReadModel = Callable[[Reading, Any, Matrix], Model]


class Binary(Link):
    """Two classes from one margin, by the logistic function.

    Parameters
    ----------
    classes : ndarray of shape (2,)
    at_zero : bool
        Whether a margin of exactly zero gives the second class (GradientBoosting does, others do not).
    factor : float
        What the margin is multiplied by (2 for the exponential loss).
    """

    batchwise = False
    decides = True

    def __init__(self, classes: Array, *, at_zero: bool = False, factor: float = 1.0) -> None:
        from scipy.special import expit

        self.classes: Array | None = classes
        self._labels = classes.tolist()
        self._expit: Callable[[Any], Any] = expit
        self._at_zero = at_zero
        self._factor = factor

    @override
    def answer(self, margin: Any) -> RowAnswer:
        chance = float(self._expit(self._factor * margin))
        second = margin > 0 or (self._at_zero and margin == 0)
        return self._labels[second], (1 - chance, chance)

    @override
    def answers(self, margins: Any) -> Scores:
        chances = np.empty((len(margins), 2))
        chances[:, 1] = self._expit(self._factor * margins)
        chances[:, 0] = 1 - chances[:, 1]
        second = margins >= 0 if self._at_zero else margins > 0
        return Scores(_take(self.classes, second.astype(np.intp)), chances)


class Softmax(Link):
    """More than two classes, one margin each."""

    batchwise = True
    decides = True

    def __init__(self, classes: Array) -> None:
        self.classes: Array | None = classes
        self._labels = classes.tolist()

    @override
    def answer(self, margin: Any) -> RowAnswer:
        chances = _softmax(margin.reshape(1, -1))
        return self._labels[margin.argmax()], tuple(chances[0].tolist())

    @override
    def answers(self, margins: Any) -> Scores:
        return Scores(_take(self.classes, np.argmax(margins, axis=1)), _softmax(margins))


def _softmax(margins: FloatArray) -> FloatArray:
    """Repeat sklearn.utils.extmath.softmax operation by operation, in the memory layout of `margins`."""
    shifted: FloatArray = margins - margins.max(axis=1).reshape(-1, 1)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1).reshape(-1, 1)
    return shifted


class Shares(Link):
    """Classes from probabilities that are the margin itself (trees and forests)."""

    batchwise = False
    decides = False

    def __init__(self, classes: Array) -> None:
        self.classes: Array | None = classes
        self._labels = classes.tolist()

    @override
    def answer(self, margin: Any) -> RowAnswer:
        chances = margin.tolist()
        return self._labels[chances.index(max(chances))], tuple(chances)

    @override
    def answers(self, margins: Any) -> Scores:
        return Scores(_take(self.classes, np.argmax(margins, axis=1)), margins)


class Value(Link):
    """A regressor's number: the margin, or its exponential."""

    classes: Array | None = None
    batchwise = False
    decides = False

    def __init__(self, inverse: Any = None) -> None:
        self._inverse = inverse

    @override
    def answer(self, margin: Any) -> RowAnswer:
        return (margin if self._inverse is None else self._inverse(margin).item()), None

    @override
    def answers(self, margins: Any) -> Scores:
        return Scores(margins if self._inverse is None else self._inverse(margins), None)


def _take(classes: Array | None, indices: npt.NDArray[np.intp]) -> Array:
    taken: Array = np.asarray(classes)[indices]
    return taken
