"""The results of scoring, and the errors for a pipeline that plans do not support and for a row that a plan rejects."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from skline.errors import SklineError

FloatArray = npt.NDArray[np.float64]
Exactness = Literal["bits", "ulp"]
#: The prediction for one row, and its probabilities in the order of the classes (None for a regressor).
RowScore = tuple[Any, tuple[float, ...] | None]


@dataclass(frozen=True)
class Scores:
    """Predictions for n rows.

    Attributes
    ----------
    predictions : ndarray of shape (n,)
        What `predict` returns.
    probabilities : float64 ndarray of shape (n, n_classes), or None
        What `predict_proba` returns, in the order of `classes_`; None for a regressor.
    """

    predictions: npt.NDArray[Any]
    probabilities: FloatArray | None

    def __getitem__(self, rows: Any) -> Self:
        """Return the scores of some rows, selected by a slice or an array of positions."""
        return type(self)(self.predictions[rows], None if self.probabilities is None else self.probabilities[rows])

    def row(self, index: int) -> RowScore:
        """Return one row as plain Python values."""
        probabilities = None if self.probabilities is None else tuple(self.probabilities[index].tolist())
        return self.predictions[index : index + 1].tolist()[0], probabilities


class UnsupportedStep(SklineError):
    """The pipeline holds a step, type or parameter that plans do not support; the message names it."""


class RowRejected(SklineError, ValueError):
    """The pipeline would raise on this row, so the plan raises too."""
