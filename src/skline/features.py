"""Transformers and functions that a Pipeline may hold: scikit-learn and NumPy only.

They travel inside pipeline.joblib, so a server needs this module to load the model.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skline.clock import CYCLES, PARTS, FloatArray, encode_part, minutes_of_day, time_part

__all__ = ["TimeFeatures", "TimePart", "minutes_of_day"]

TimePart = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days"]


class TimeFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn datetime columns into numbers that a model can use.

    Parameters
    ----------
    parts : sequence of {"year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days"}
        What to read out of each datetime; weekday counts from Monday = 0, days from 1970-01-01.
    encoding : {"ordinal", "cyclic"}
        Ordinal gives one float64 column a part. Cyclic gives sine and cosine for the parts that recur,
        so that December lies beside January, and leaves "year" and "days" as they are.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names, where `fit` was given a DataFrame.
    """

    def __init__(
        self,
        parts: Sequence[TimePart] = ("month", "weekday", "hour"),
        encoding: Literal["ordinal", "cyclic"] = "ordinal",
    ) -> None:
        self.parts = parts
        self.encoding = encoding

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the parameters and remember the column names; nothing is learned from values.

        Raises
        ------
        ValueError
            If a part or the encoding is unknown.
        """
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ValueError(f"TimeFeatures: unknown parts {unknown}; choose from {list(PARTS)}")
        if self.encoding not in ("ordinal", "cyclic"):
            raise ValueError(f"TimeFeatures: encoding={self.encoding!r} is neither 'ordinal' nor 'cyclic'")
        self.n_features_in_ = X.shape[1]
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X: Any) -> FloatArray:
        """Return float64 of shape (n_samples, n_features_out); NaN where the datetime is missing."""
        check_is_fitted(self, "n_features_in_")
        stamps = np.asarray(X, dtype="datetime64[us]")
        if stamps.shape[1] != self.n_features_in_:
            raise ValueError(f"TimeFeatures: fitted on {self.n_features_in_} columns, got {stamps.shape[1]}")
        columns: list[FloatArray] = []
        for index in range(stamps.shape[1]):
            for part in self.parts:
                columns.extend(encode_part(time_part(stamps[:, index], part), part, self.encoding))
        return np.column_stack(columns) if columns else np.empty((len(stamps), 0))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names such as `flight_date_month`, or `flight_date_month_sin` and `_cos`."""
        check_is_fitted(self, "n_features_in_")
        names = input_features if input_features is not None else getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{index}" for index in range(self.n_features_in_)]
        cyclic = self.encoding == "cyclic"
        return np.asarray(
            [
                f"{name}_{part}{suffix}"
                for name in names
                for part in self.parts
                for suffix in (("_sin", "_cos") if cyclic and part in CYCLES else ("",))
            ],
            dtype=object,
        )
