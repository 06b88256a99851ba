"""Prediction intervals of a regressor, by split conformal prediction.

Papadopoulos et al. 2002, "Inductive Confidence Machines for Regression"; as here, with absolute residuals, in Lei et
al. 2018, "Distribution-Free Predictive Inference for Regression". If validation rows and new rows are exchangeable,
the interval holds the truth in at least `level` of all cases, for any model. It has the same width for every row:
nothing is guaranteed for a particular group of rows, or once the data drift.
"""

import math

import numpy as np
import numpy.typing as npt

from skline.artifact.tuning import Interval


def conformal_interval(
    truth: npt.NDArray[np.float64],
    predictions: npt.NDArray[np.float64],
    level: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> Interval | None:
    """Return the half-width within which `level` of the validation rows lie, corrected for one new row.

    Parameters
    ----------
    truth, predictions : float64 array of shape (n,)
    level : float
    weights : float64 array of shape (n,), optional
        Of the rows. The quantile is the weighted one (Tibshirani et al. 2019, "Conformal Prediction Under Covariate
        Shift"), and the new row has the mean weight.

    Returns
    -------
    Interval, or None where n is too small: a level needs level / (1 - level) rows.
    """
    errors = np.abs(truth - predictions)
    order = np.argsort(errors, kind="stable")
    if weights is None:
        rank = math.ceil((len(errors) + 1) * level)
    else:
        reached = np.cumsum(weights[order]) / (weights.sum() + weights.mean())
        rank = int(np.searchsorted(reached, level)) + 1
    if rank > len(errors):
        return None
    return Interval(level=level, half_width=float(errors[order[rank - 1]]), rows=len(errors))
