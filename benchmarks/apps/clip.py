"""A transformer that no plan supports, for the case in which the pipeline itself has to predict."""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


class ClipToSeen(TransformerMixin, BaseEstimator):
    """Clip the numeric columns of a DataFrame to the range seen in `fit`.

    Attributes
    ----------
    seen_ : dict
        Column name → its smallest and its largest value.
    """

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002
        """Store the range of each numeric column."""
        numbers = X.select_dtypes("number")
        self.seen_ = {name: (float(numbers[name].min()), float(numbers[name].max())) for name in numbers}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return a copy of X of the same shape and columns, its numeric columns clipped, as float64."""
        return X.assign(**{name: np.clip(X[name].to_numpy(np.float64), *seen) for name, seen in self.seen_.items()})
