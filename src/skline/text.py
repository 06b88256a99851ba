"""Text as numbers: NumPy only, so that a stored plan needs no scikit-learn.

Each text is computed by itself, in one order of operations, so that one text gets the bits it gets among many.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Lengths of the fragments that texts are compared by.
LENGTHS = (3, 4)


def fragments(text: str) -> list[str]:
    """Return the pieces of 3 and 4 characters of each word, lower case, a blank before and after the word."""
    found: list[str] = []
    for word in text.lower().split():
        padded = f" {word} "
        for length in LENGTHS:
            found.extend(padded[i : i + length] for i in range(max(1, len(padded) - length + 1)))
    return found


def text_vector(
    text: str | None, vocabulary: Mapping[str, int], weights: FloatArray, directions: FloatArray
) -> FloatArray:
    """Project a text's weighted, normed counts of fragments: float64 of shape (n_directions,).

    Parameters
    ----------
    text : str or None
        Where it is missing, the result is NaN; where it holds no known fragment, 0.
    vocabulary : mapping from fragment to position
    weights : float64 of shape (n_fragments,)
        How much a fragment counts: its inverse document frequency.
    directions : float64 of shape (n_fragments, n_directions)
    """
    if text is None:
        return np.full(directions.shape[1], np.nan)
    counts = Counter(vocabulary[piece] for piece in fragments(text) if piece in vocabulary)
    if not counts:
        return np.zeros(directions.shape[1])
    positions = np.fromiter(counts, np.intp, len(counts))
    values = np.fromiter(counts.values(), np.float64, len(counts)) * weights[positions]
    values /= np.sqrt(np.add.reduce(values * values))
    projected: FloatArray = np.add.reduce(values[:, None] * directions[positions], axis=0)
    return projected


def text_vectors(
    texts: Iterable[str | None], vocabulary: Mapping[str, int], weights: FloatArray, directions: FloatArray
) -> FloatArray:
    """Stack the `text_vector` of each text: float64 of shape (n_texts, n_directions)."""
    rows = [text_vector(text, vocabulary, weights, directions) for text in texts]
    return np.stack(rows) if rows else np.empty((0, directions.shape[1]))
