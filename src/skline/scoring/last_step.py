"""The last step of a pipeline whose other steps no plan knows: its plan, on the array that they hand to it.

Preparing a row in a transformer of the user's own stays scikit-learn's work; what the model makes of it need not be.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from skline.scoring.answers import FloatArray, NotPlannable, Scores
from skline.scoring.cells import Input
from skline.scoring.equality import equal
from skline.scoring.matrix import Matrix, Reading
from skline.scoring.model import Model
from skline.scoring.models import read_model
from skline.scoring.reference import score_with
from skline.scoring.source import Batch

log = logging.getLogger("skline.scoring")


class LastStep:
    """A fitted estimator, asked by its plan for float64 arrays, and by itself for anything else.

    The plan is proved on the first array: unless every bit is the estimator's, it is not used again.
    """

    def __init__(self, estimator: Any, features: int, unplanned: Callable[[Any], Scores]) -> None:
        """Plan an estimator that was fitted on so many features.

        Parameters
        ----------
        estimator : estimator
        features : int
        unplanned : callable
            How it is asked for what the plan does not take, or once the plan is not used.

        Raises
        ------
        NotPlannable
            If it is not one whose arithmetic is known to the bit.
        """
        self._estimator, self._features, self._unplanned = estimator, features, unplanned
        self._reading = Reading()
        cells = tuple(Input(index, "float64") for index in range(features))
        self._model: Model | None = read_model(self._reading, estimator, Matrix(cells, "array"))
        if self._model.margin.exactness != "bits":
            raise NotPlannable("its last bits depend on how many rows are asked")
        self._proved = False

    @property
    def planned(self) -> bool:
        """Whether the plan is used."""
        return self._model is not None

    def score(self, data: Any) -> Scores:
        """Score what the steps before have made of some rows; raises ValueError where the estimator would."""
        model = self._model
        if model is None or not self._takes(data):
            return self._unplanned(data)
        if self._proved:
            return self._planned_scores(model, data)
        expected = score_with(self._estimator, data)
        try:
            difference = None if equal(expected, self._planned_scores(model, data), "bits") else "its answers differ"
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a plan, the estimator itself has answered
            difference = f"it failed with {type(error).__name__}"
        self._proved = difference is None
        if difference is not None:
            log.warning("the plan of %s is not used: %s", type(self._estimator).__name__, difference)
            self._model = None
        return expected

    def _takes(self, data: Any) -> bool:
        """Whether data is what the plan was made for."""
        return (
            type(data) is np.ndarray
            and data.dtype == np.float64
            and data.ndim == 2
            and data.shape[1] == self._features
            and len(data) > 0
        )

    def _planned_scores(self, model: Model, data: FloatArray) -> Scores:
        """Score by the plan."""
        batch = Batch(lambda index: np.ascontiguousarray(data[:, index]), len(data))
        with np.errstate(all="ignore"):
            self._reading.check(batch)
            return model.link.answers(model.margin.values(batch))
