"""Categories as the gradient boosting libraries take them: numbers, of which they read the integer part."""

from typing import Any

import numpy as np

from skline.scoring.code_writer import Expression
from skline.scoring.expressions import LookupTable
from skline.scoring.scores import UnsupportedStep


def integer_categories(expression: Expression, top: int, estimator: Any, unknown: float = np.nan) -> Expression:
    """Convert a column of category numbers: integers from 0 to `top`, NaN where missing, else `unknown`.

    Parameters
    ----------
    expression : Expression
        float64; it must be a lookup table, as the outputs of encoders are.
    top : int
        The largest category of any split.
    estimator : estimator
        For the message of an error.
    unknown : float
        The number that replaces negative categories and those above `top`.

    Raises
    ------
    UnsupportedStep
        If the column takes any number.
    """
    if not isinstance(expression, LookupTable):
        raise UnsupportedStep(
            f"{type(estimator).__name__} gets categories that are not encoded; encode them with OrdinalEncoder"
        )
    integers = np.trunc(expression.entries)
    with np.errstate(invalid="ignore"):
        is_unknown = (integers < 0) | (integers > top)
    # -0.5 is category 0; adding 0.0 turns its -0.0 into 0.0.
    return LookupTable(expression.index, np.where(is_unknown, unknown, integers) + 0.0)
