"""Decision trees in one form, independent of the estimator that grew them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skline.scoring.code_writer import Array
from skline.scoring.scores import FloatArray
from skline.scoring.sklearn_internals import missing_goes_left


@dataclass(frozen=True)
class Tree:
    """One decision tree as lists by node; node 0 is the root.

    A row goes left where its value is at most the threshold (or is one of the node's left categories). A missing value,
    or a category that the node does not know, goes left if `missing_left`. Thresholds are float64.
    """

    feature: list[int]  # -1 for a leaf
    threshold: list[float]
    left: list[int]
    right: list[int]
    missing_left: list[bool]
    values: Array  # float64 or float32 of shape (nodes, k); only those of leaves matter
    categories: dict[int, tuple[frozenset[int], frozenset[int]]]  # node → (left categories, known categories)

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return self.feature.count(-1)

    def leaf_nodes(self) -> list[int]:
        """Return the nodes of the leaves, by which leaves are numbered."""
        return [node for node, feature in enumerate(self.feature) if feature < 0]

    def leaf_depths(self) -> list[int]:
        """Return the number of splits above each leaf, in no particular order."""
        depths, stack = [], [(0, 0)]
        while stack:
            node, depth = stack.pop()
            if self.feature[node] < 0:
                depths.append(depth)
            else:
                stack += [(self.left[node], depth + 1), (self.right[node], depth + 1)]
        return depths


def constant_tree(values: Array) -> Tree:
    """Return a tree of one leaf with `values`, shape (k,): the first term of an ensemble's sum."""
    return Tree([-1], [0.0], [-1], [-1], [False], values.reshape(1, -1), {})


def read_tree_arrays(tree: Any, values: FloatArray) -> Tree:
    """Read the `tree_` of a scikit-learn decision tree, which rounds its input to float32; values: (nodes, k)."""
    is_leaf = tree.children_left == -1
    return Tree(
        np.where(is_leaf, -1, tree.feature).tolist(),
        float64_threshold(tree.threshold).tolist(),
        tree.children_left.tolist(),
        tree.children_right.tolist(),
        missing_goes_left(tree).tolist(),
        values,
        {},
    )


def float64_threshold(thresholds: Array) -> FloatArray:
    """Convert thresholds for values that are rounded to float32 first into thresholds for the values themselves.

    Rounding keeps order, so there is a largest float64 that is rounded to at most the threshold: half way from the
    float32 below the threshold to its successor, or just before it where the tie is rounded up.
    """
    with np.errstate(over="ignore"):  # beyond the largest float32 is infinity
        below = thresholds.astype(np.float32)
        below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below).astype(np.float32)
        above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
    # The largest float32 has no finite successor; the values that are rounded to it end half a step above it.
    above = np.where(np.isinf(above), 2.0**128, above)
    exact = below.astype(np.float64)
    # An infinite threshold (it separates missing values from all others) stays as it is.
    half = np.where(np.isinf(exact), exact, exact + (above - np.where(np.isinf(exact), 0.0, exact)) / 2)
    is_even = below.view(np.uint32) % 2 == 0
    return np.where(is_even | np.isinf(exact), half, np.nextafter(half, -np.inf))
