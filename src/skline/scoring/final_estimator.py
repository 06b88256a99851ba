"""Score the last step of a pipeline by a plan of that step, where the other steps have no plan.

The rows are still transformed by scikit-learn and the user's own transformers; only the last step is replaced.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from skline.scoring.code_writer import BatchContext
from skline.scoring.equality import scores_equal
from skline.scoring.estimators.base import EstimatorPlan
from skline.scoring.estimators.dispatch import read_estimator
from skline.scoring.expressions import InputColumn
from skline.scoring.matrix import Matrix
from skline.scoring.reference import score_estimator
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import FloatArray, Scores, UnsupportedStep

log = logging.getLogger("skline.scoring")


class FinalEstimatorScorer:
    """Scores float64 arrays by the plan of a fitted estimator, and anything else by the estimator itself.

    The plan is verified on the first array: unless every bit equals the estimator's, it is never used again.
    """

    def __init__(self, estimator: Any, n_features: int, score_unplanned: Callable[[Any], Scores]) -> None:
        """Build the plan of an estimator.

        Parameters
        ----------
        estimator : estimator
        n_features : int
            Number of features on which it was fitted.
        score_unplanned : callable
            Scores data that the plan does not support, and all data once the plan is not used.

        Raises
        ------
        UnsupportedStep
            If plans do not support the estimator, or its plan is not exact to the bit.
        """
        self._estimator, self._n_features, self._score_unplanned = estimator, n_features, score_unplanned
        self._checks = RowChecks()
        inputs = tuple(InputColumn(index, "float64") for index in range(n_features))
        self._plan: EstimatorPlan | None = read_estimator(self._checks, estimator, Matrix(inputs, "array"))
        if self._plan.margin.exactness != "bits":
            raise UnsupportedStep("the last bits of its results depend on the number of rows")
        self._is_verified = False

    @property
    def uses_plan(self) -> bool:
        """Whether the plan is used."""
        return self._plan is not None

    def score(self, data: Any) -> Scores:
        """Score transformed rows; raises ValueError where the estimator would."""
        plan = self._plan
        if plan is None or not self._is_supported(data):
            return self._score_unplanned(data)
        if self._is_verified:
            return self._score_planned(plan, data)
        expected = score_estimator(self._estimator, data)
        try:
            is_equal = scores_equal(expected, self._score_planned(plan, data), "bits")
            problem = None if is_equal else "its results differ from the estimator's"
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a plan, the estimator has already scored
            problem = f"it failed with {type(error).__name__}"
        self._is_verified = problem is None
        if problem is not None:
            log.warning("the plan of %s is not used: %s", type(self._estimator).__name__, problem)
            self._plan = None
        return expected

    def _is_supported(self, data: Any) -> bool:
        """Return whether the plan supports this data."""
        return (
            type(data) is np.ndarray
            and data.dtype == np.float64
            and data.ndim == 2
            and data.shape[1] == self._n_features
            and len(data) > 0
        )

    def _score_planned(self, plan: EstimatorPlan, data: FloatArray) -> Scores:
        batch = BatchContext(lambda index: np.ascontiguousarray(data[:, index]), len(data))
        with np.errstate(all="ignore"):
            self._checks.check_batch(batch)
            return plan.link.batch_scores(plan.margin.evaluate(batch))
