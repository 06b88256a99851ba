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
from skline.text import fragments, text_vectors

__all__ = ["TextFeatures", "TimeFeatures", "TimePart", "minutes_of_day"]

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


class TextFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn each column of text into a few numbers, by latent semantic analysis of the fragments of its words.

    The fragments of 3 and 4 characters are counted, weighted by their inverse document frequency, normed, and
    projected on the directions in which training texts differ most (truncated SVD). Missing text stays missing.

    Parameters
    ----------
    n_components : int
        Numbers a column, at most; fewer where training texts have fewer distinct fragments.
    max_fragments : int
        Only this many fragments count, the most frequent ones; it bounds the size of the fitted transformer.
    random_state : int, optional
        Seed of the truncated SVD.

    Attributes
    ----------
    vocabularies_ : list of dict
        For each column, the position of every fragment that counts.
    weights_ : list of ndarray of shape (n_fragments,), dtype float64
    directions_ : list of ndarray of shape (n_fragments, at most n_components), dtype float64
        Without rows and columns where no training text holds a word: the column then gives nothing.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
    """

    def __init__(self, n_components: int = 30, max_fragments: int = 10_000, random_state: int | None = None) -> None:
        self.n_components = n_components
        self.max_fragments = max_fragments
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learn fragments, weights and directions from X of shape (n_samples, n_features), texts or missing."""
        self.n_features_in_ = X.shape[1]
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        learned = [self._learn([text for text in column if text is not None]) for column in _texts(X)]
        self.vocabularies_ = [vocabulary for vocabulary, _, _ in learned]
        self.weights_ = [weights for _, weights, _ in learned]
        self.directions_ = [directions for _, _, directions in learned]
        return self

    def _learn(self, texts: list[str]) -> tuple[dict[str, int], FloatArray, FloatArray]:
        """Fit one column."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        if not any(text.split() for text in texts):
            return {}, np.empty(0), np.empty((0, 0))
        vectorizer = TfidfVectorizer(analyzer=fragments, max_features=self.max_fragments)
        counts = vectorizer.fit_transform(texts)
        width = min(self.n_components, counts.shape[1])
        directions = np.ones((1, 1))  # of a single fragment; truncated SVD asks for two
        if counts.shape[1] > 1:
            # The variance of equal texts is 0, and the SVD divides by it for a report that is not used.
            with np.errstate(divide="ignore", invalid="ignore"):
                directions = TruncatedSVD(width, random_state=self.random_state).fit(counts).components_.T
        vocabulary = {fragment: int(position) for fragment, position in vectorizer.vocabulary_.items()}
        return vocabulary, vectorizer.idf_.astype(np.float64), np.ascontiguousarray(directions, dtype=np.float64)

    def transform(self, X: Any) -> FloatArray:
        """Return float64 of shape (n_samples, n_features_out); NaN where the text is missing."""
        check_is_fitted(self, "directions_")
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f"TextFeatures: fitted on {self.n_features_in_} columns, got {X.shape[1]}")
        learned = zip(_texts(X), self.vocabularies_, self.weights_, self.directions_, strict=True)
        return np.hstack([text_vectors(*column) for column in learned])

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Names such as `comment_0`."""
        check_is_fitted(self, "directions_")
        names = input_features if input_features is not None else getattr(self, "feature_names_in_", None)
        if names is None:
            names = [f"x{index}" for index in range(self.n_features_in_)]
        return np.asarray(
            [
                f"{name}_{index}"
                for name, directions in zip(names, self.directions_, strict=True)
                for index in range(directions.shape[1])
            ],
            dtype=object,
        )


def _texts(X: Any) -> list[list[str | None]]:
    """Columns of a frame or an array as lists of texts, None where missing."""
    cells = np.asarray(X, dtype=object)
    return [[text if isinstance(text, str) else None for text in cells[:, index]] for index in range(cells.shape[1])]
