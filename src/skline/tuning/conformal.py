"""Prediction intervals of a regressor, by split conformal prediction.

Papadopoulos et al. 2002, "Inductive Confidence Machines for Regression"; as here, with absolute residuals, in Lei et
al. 2018, "Distribution-Free Predictive Inference for Regression". If the validation rows and the rows to come are
exchangeable, the interval holds the truth in at least `level` of all cases, whatever the model. It is equally wide
everywhere: it promises nothing about any one kind of row, and nothing once the data drift.
"""

import math

import numpy as np
import numpy.typing as npt

from skline.tuning.record import Interval


def interval(truth: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64], level: float) -> Interval | None:
    """Return the half-width that `level` of the validation rows keep to, the row to come counted in.

    Both arrays have shape (n,). None where n is too small for the level: it takes level / (1 - level) rows.
    """
    errors = np.sort(np.abs(truth - predictions))
    rank = math.ceil((len(errors) + 1) * level)
    if rank > len(errors):
        return None
    return Interval(level=level, half_width=float(errors[rank - 1]), rows=len(errors))
