"""Vectors of texts, for `TextFeatures` and for plans; NumPy only, so that a stored plan needs no scikit-learn.

Each text is computed by itself, in a fixed order of operations, so that its vector is the same to the last bit alone
and in a batch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Lengths of the character n-grams.
NGRAM_LENGTHS = (3, 4)


def char_ngrams(text: str) -> list[str]:
    """Return the n-grams of 3 and 4 characters of each word in lower case, padded with a blank on both sides."""
    ngrams: list[str] = []
    for word in text.lower().split():
        padded = f" {word} "
        for length in NGRAM_LENGTHS:
            ngrams.extend(padded[i : i + length] for i in range(max(1, len(padded) - length + 1)))
    return ngrams


def text_vector(text: str | None, vocabulary: Mapping[str, int], idf: FloatArray, components: FloatArray) -> FloatArray:
    """Project the normalised TF-IDF of a text's n-grams on the components: float64 of shape (n_components,).

    Parameters
    ----------
    text : str or None
        A missing text gives NaN; a text without a known n-gram gives 0.
    vocabulary : mapping from n-gram to position
    idf : float64 of shape (n_ngrams,)
        Inverse document frequencies.
    components : float64 of shape (n_ngrams, n_components)
    """
    if text is None:
        return np.full(components.shape[1], np.nan)
    counts = Counter(vocabulary[ngram] for ngram in char_ngrams(text) if ngram in vocabulary)
    if not counts:
        return np.zeros(components.shape[1])
    positions = np.fromiter(counts, np.intp, len(counts))
    values = np.fromiter(counts.values(), np.float64, len(counts)) * idf[positions]
    values /= np.sqrt(np.add.reduce(values * values))
    projected: FloatArray = np.add.reduce(values[:, None] * components[positions], axis=0)
    return projected


def text_vectors(
    texts: Iterable[str | None], vocabulary: Mapping[str, int], idf: FloatArray, components: FloatArray
) -> FloatArray:
    """Stack the `text_vector` of each text: float64 of shape (n_texts, n_components)."""
    rows = [text_vector(text, vocabulary, idf, components) for text in texts]
    return np.stack(rows) if rows else np.empty((0, components.shape[1]))
