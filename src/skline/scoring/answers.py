"""What a scorer gives, and the two ways in which it declines."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from skline.errors import SklineError

FloatArray = npt.NDArray[np.float64]
Exactness = Literal["bits", "ulp"]
#: A row's prediction, and its probabilities in the order of the classes (None from a regressor).
RowAnswer = tuple[Any, tuple[float, ...] | None]


@dataclass(frozen=True)
class Scores:
    """Answers for n rows.

    `predictions` is what `predict` gives, of shape (n,). `probabilities` is what `predict_proba` gives,
    float64 of shape (n, n_classes), in the order of `classes_`; None for a regressor.
    """

    predictions: npt.NDArray[Any]
    probabilities: FloatArray | None

    def __getitem__(self, rows: Any) -> Self:
        """Return the answers for some rows: a slice, or positions as an array."""
        return type(self)(self.predictions[rows], None if self.probabilities is None else self.probabilities[rows])

    def row(self, index: int) -> RowAnswer:
        """One row as plain Python values."""
        chances = None if self.probabilities is None else tuple(self.probabilities[index].tolist())
        return self.predictions[index : index + 1].tolist()[0], chances


class NotPlannable(SklineError):
    """The pipeline holds a step, type or parameter that a plan does not know; the message names it."""


class RowRefused(SklineError, ValueError):
    """The pipeline would raise on this row, so the plan does too."""
