"""Give the weights of rows to the estimator of a Pipeline, and score it by them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from skline.errors import SklineError


def fit_arguments(pipeline: Pipeline, weights: npt.NDArray[np.float64] | None) -> dict[str, Any]:
    """Return the arguments of `pipeline.fit` that give the weights to its last step; none without weights.

    The steps before it are fitted on rows of equal weight.

    Parameters
    ----------
    pipeline : Pipeline
    weights : float64 array of shape (n_rows,), or None

    Raises
    ------
    SklineError
        If the last step takes no weights.
    """
    if weights is None:
        return {}
    name, estimator = pipeline.steps[-1]
    while isinstance(estimator, TransformedTargetRegressor) and estimator.regressor is not None:
        estimator = estimator.regressor  # it gets the arguments of fit
    if not has_fit_parameter(estimator, "sample_weight"):
        raise SklineError(
            f"train.weights: {type(estimator).__name__} in src/model/pipeline.py takes no weights of rows (its fit() "
            "has no sample_weight); use another estimator, or remove train.weights from params.yaml"
        )
    return {f"{name}__sample_weight": weights}
