"""Decision trees in one form, whichever estimator grew them."""

from dataclasses import dataclass

import numpy as np

from skline.scoring.answers import FloatArray
from skline.scoring.source import Array


@dataclass(frozen=True)
class Tree:
    """One tree, in the order of its nodes; node 0 is the root.

    A row goes left where its value is at most the threshold (or is one of the node's `categories`), and where
    it is missing (or a category that `known` does not have) if `missing_left`. Thresholds are float64.
    """

    feature: list[int]  # -1 for a leaf
    threshold: list[float]
    left: list[int]
    right: list[int]
    missing_left: list[bool]
    values: FloatArray  # (nodes, k); only those of leaves matter
    categories: dict[int, tuple[frozenset[int], frozenset[int]]]  # node → (left, known)

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return self.feature.count(-1)


def stump(values: FloatArray) -> Tree:
    """Return a tree that always gives `values`, shape (k,): what an ensemble begins its sum with."""
    return Tree([-1], [0.0], [-1], [-1], [False], values.reshape(1, -1), {})


def float64_threshold(thresholds: Array) -> FloatArray:
    """Thresholds for values that are rounded to float32 first → the same for the values themselves.

    Rounding keeps order, so there is a largest float64 that is rounded to at most the threshold: half way
    from the float32 below the threshold to its successor, or just before it, where the tie goes up.
    """
    below = thresholds.astype(np.float32)
    below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below).astype(np.float32)
    above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
    # The largest float32 has no finite successor; what is rounded to it ends half a step above.
    above = np.where(np.isinf(above), 2.0**128, above)
    exact = below.astype(np.float64)
    # An infinite threshold (it parts missing values from all others) stays as it is.
    half = np.where(np.isinf(exact), exact, exact + (above - np.where(np.isinf(exact), 0.0, exact)) / 2)
    even = below.view(np.uint32) % 2 == 0
    return np.where(even | np.isinf(exact), half, np.nextafter(half, -np.inf))
