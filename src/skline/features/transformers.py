"""Transformers for the steps of a Pipeline: TimeFeatures and TextFeatures.

pipeline.joblib refers to these classes, so that a server needs this module to load a model.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skline.features.text import char_ngrams, text_vectors
from skline.features.time import CYCLES, PARTS, FloatArray, encode_part, time_part

TimePart = Literal["year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days"]


class TimeFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode datetime columns as numbers.

    Parameters
    ----------
    parts : sequence of {"year", "month", "day", "weekday", "day_of_year", "hour", "minute", "days"}
        Parts of each datetime; weekday counts from Monday = 0, days from 1970-01-01.
    encoding : {"ordinal", "cyclic"}
        Ordinal gives one float64 column per part. Cyclic gives sine and cosine of the cyclic parts, so that December
        is close to January, and leaves "year" and "days" unchanged.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Their names, if `fit` got a DataFrame.
    """

    def __init__(
        self,
        parts: Sequence[TimePart] = ("month", "weekday", "hour"),
        encoding: Literal["ordinal", "cyclic"] = "ordinal",
    ) -> None:
        self.parts = parts
        self.encoding = encoding

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Check the parameters and store the column names; nothing is learned from the values.

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
        """Return names such as `flight_date_month`, or `flight_date_month_sin` and `_cos`."""
        check_is_fitted(self, "n_features_in_")
        names = _input_names(self, input_features)
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
    """Encode each column of text as a few numbers, by latent semantic analysis of its character n-grams.

    The n-grams of 3 and 4 characters of each word are counted, weighted by inverse document frequency, normalised, and
    projected on the main components of the training texts (truncated SVD). A missing text gives NaN.

    Parameters
    ----------
    n_components : int
        Maximum number of components per column; fewer if the training texts have fewer distinct n-grams.
    max_ngrams : int
        Only the most frequent n-grams are used, at most this many; it bounds the size of the fitted transformer.
    random_state : int, optional
        Seed of the truncated SVD.

    Attributes
    ----------
    vocabularies_ : list of dict
        For each column, the position of every n-gram in use.
    idf_ : list of ndarray of shape (n_ngrams,), dtype float64
        For each column, the inverse document frequencies.
    components_ : list of ndarray of shape (n_ngrams, at most n_components), dtype float64
        For each column, the components; of shape (0, 0) if no training text has a word, and the column then gives no
        features.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
    """

    def __init__(self, n_components: int = 30, max_ngrams: int = 10_000, random_state: int | None = None) -> None:
        self.n_components = n_components
        self.max_ngrams = max_ngrams
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learn n-grams, frequencies and components from X of shape (n_samples, n_features), texts or missing."""
        self.n_features_in_ = X.shape[1]
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        fitted = [self._fit_column([text for text in column if text is not None]) for column in _texts(X)]
        self.vocabularies_ = [vocabulary for vocabulary, _, _ in fitted]
        self.idf_ = [idf for _, idf, _ in fitted]
        self.components_ = [components for _, _, components in fitted]
        return self

    def _fit_column(self, texts: list[str]) -> tuple[dict[str, int], FloatArray, FloatArray]:
        """Return vocabulary, inverse document frequencies and components of one column."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        if not any(text.split() for text in texts):
            return {}, np.empty(0), np.empty((0, 0))
        vectorizer = TfidfVectorizer(analyzer=char_ngrams, max_features=self.max_ngrams)
        counts = vectorizer.fit_transform(texts)
        width = min(self.n_components, counts.shape[1])
        components = np.ones((1, 1))  # for a single n-gram; truncated SVD needs two
        if counts.shape[1] > 1:
            # The variance of equal texts is 0, and the SVD divides by it for the explained variance, which is not used.
            with np.errstate(divide="ignore", invalid="ignore"):
                components = TruncatedSVD(width, random_state=self.random_state).fit(counts).components_.T
        vocabulary = {ngram: int(position) for ngram, position in vectorizer.vocabulary_.items()}
        return vocabulary, vectorizer.idf_.astype(np.float64), np.ascontiguousarray(components, dtype=np.float64)

    def transform(self, X: Any) -> FloatArray:
        """Return float64 of shape (n_samples, n_features_out); NaN where the text is missing."""
        check_is_fitted(self, "components_")
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f"TextFeatures: fitted on {self.n_features_in_} columns, got {X.shape[1]}")
        columns = zip(_texts(X), self.vocabularies_, self.idf_, self.components_, strict=True)
        return np.hstack([text_vectors(*column) for column in columns])

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return names such as `comment_0`."""
        check_is_fitted(self, "components_")
        names = _input_names(self, input_features)
        return np.asarray(
            [
                f"{name}_{index}"
                for name, components in zip(names, self.components_, strict=True)
                for index in range(components.shape[1])
            ],
            dtype=object,
        )


def _input_names(transformer: Any, given: Any) -> Any:
    """Return the names of the columns: those given, else those seen in `fit`, else x0, x1, …, as scikit-learn does."""
    if given is not None:
        return given
    unnamed = [f"x{index}" for index in range(transformer.n_features_in_)]
    return getattr(transformer, "feature_names_in_", unnamed)


def _texts(X: Any) -> list[list[str | None]]:
    """Return the columns of a frame or an array as lists of texts, None where missing."""
    cells = np.asarray(X, dtype=object)
    return [[text if isinstance(text, str) else None for text in cells[:, index]] for index in range(cells.shape[1])]
