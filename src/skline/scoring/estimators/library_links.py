"""The links of the gradient boosting libraries: C++ loops over rows, in float32 or float64, with the C library's exp.

A row's bits never depend on the other rows. Results are float64, also where they were computed in float32.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from skline.scoring import libm
from skline.scoring.code_writer import Array
from skline.scoring.estimators.base import Link
from skline.scoring.scores import FloatArray, RowScore, Scores

Precision = Literal["float32", "float64"]
#: The largest exponent in XGBoost's logistic function, so that it does not overflow.
MAX_FLOAT32_EXPONENT = float(np.float32(88.7))


class LibraryLink(Link):
    """What the links share: the precision of their arithmetic.

    Python computes in float64. Rounding the result of one operation on float32 numbers to float32 gives the same bits
    as the operation in float32.

    Parameters
    ----------
    classes : ndarray or None
    precision : {"float32", "float64"}
    has_decision_function : bool
    by_margin : bool
        Whether the class with the largest margin is predicted, rather than the one with the largest probability: two
        margins may differ where their probabilities are equal.
    """

    depends_on_batch = False

    def __init__(
        self,
        classes: Array | None,
        precision: Precision,
        *,
        has_decision_function: bool = False,
        by_margin: bool = False,
    ) -> None:
        self.classes: Array | None = classes
        self.by_margin = by_margin
        self.has_decision_function = has_decision_function
        self.precision: Precision = precision
        self._labels: list[Any] = [] if classes is None else classes.tolist()
        self._exp: Callable[[float], float] = libm.exp
        self._round: Callable[[float], float] = float
        if precision == "float32":
            libm.require_float32_functions()
            self._exp, self._round = libm.expf, libm.float32

    def _exponentials(self, values: Array) -> Array:
        """Return the C library's exponentials of an array, in the link's precision."""
        if self.precision == "float64":
            return libm.exp_of_array(values)
        powers = [self._exp(value) for value in values.ravel().tolist()]
        return np.array(powers, dtype=self.precision).reshape(values.shape)

    def _select(self, margins: Array, probabilities: Array) -> Scores:
        """Return scores that predict the first class with the largest margin or probability, both (n, classes)."""
        as_float64: FloatArray = np.ascontiguousarray(probabilities, dtype=np.float64)
        decisive = margins if self.by_margin else as_float64
        return Scores(np.asarray(self.classes)[np.argmax(decisive, axis=1)], as_float64)

    def _label(self, margins: Sequence[float], probabilities: Sequence[float]) -> Any:
        """Return the class of one row, as `_select` does."""
        decisive = margins if self.by_margin else probabilities
        return self._labels[decisive.index(max(decisive))]


class LogisticLink(LibraryLink):
    """Two classes from one margin; the first if both are equal."""

    @override
    def row_score(self, margin: Any) -> RowScore:
        exponent = -margin if self.precision == "float64" else min(-margin, MAX_FLOAT32_EXPONENT)
        second = self._round(1 / self._round(1 + self._exp(exponent)))
        first = self._round(1 - second)
        return self._labels[margin > 0 if self.by_margin else second > first], (first, second)

    @override
    def batch_scores(self, margins: Any) -> Scores:
        one = np.dtype(self.precision).type(1)
        exponents = -margins if self.precision == "float64" else np.minimum(-margins, np.float32(MAX_FLOAT32_EXPONENT))
        second = one / (one + self._exponentials(exponents))
        return self._select(np.column_stack([np.zeros_like(margins), margins]), np.column_stack([one - second, second]))


class StableSoftmaxLink(LibraryLink):
    """More than two classes with one margin each; float64 holds the sum, in the order of the classes."""

    @override
    def row_score(self, margin: Any) -> RowScore:
        margins = margin.tolist()
        largest = max(margins)
        powers = [self._exp(self._round(value - largest)) for value in margins]
        total = 0.0
        for power in powers:
            total += power
        total = self._round(total)
        probabilities = tuple(self._round(power / total) for power in powers)
        return self._label(margins, probabilities), probabilities

    @override
    def batch_scores(self, margins: Any) -> Scores:
        powers = self._exponentials(margins - margins.max(axis=1, keepdims=True))
        totals = np.add.accumulate(powers.astype(np.float64), axis=1)[:, -1:].astype(self.precision)
        return self._select(margins, powers / totals)


class OneVersusAllLink(LibraryLink):
    """More than two classes with one logistic function each; the probabilities do not add up to 1."""

    @override
    def row_score(self, margin: Any) -> RowScore:
        margins = margin.tolist()
        probabilities = tuple(1 / (1 + self._exp(-value)) for value in margins)
        return self._label(margins, probabilities), probabilities

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return self._select(margins, 1 / (1 + self._exponentials(-margins)))


class ExponentialLink(LibraryLink):
    """A regressor's prediction: the exponential of the margin."""

    def __init__(self, precision: Precision) -> None:
        super().__init__(None, precision)

    @override
    def row_score(self, margin: Any) -> RowScore:
        return self._exp(margin), None

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return Scores(self._exponentials(margins).astype(np.float64), None)


class IdentityLink(LibraryLink):
    """A regressor's prediction: the margin."""

    def __init__(self, precision: Precision) -> None:
        super().__init__(None, precision)

    @override
    def row_score(self, margin: Any) -> RowScore:
        return margin, None

    @override
    def batch_scores(self, margins: Any) -> Scores:
        return Scores(margins.astype(np.float64), None)
