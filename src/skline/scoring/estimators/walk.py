"""Walk trees node by node in Python: for those whose lookup tables would take too much memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.scoring.code_writer import Array, CodeWriter, Expression
from skline.scoring.estimators.trees import Tree

#: A leaf is its position among all leaf values; a split is (feature, threshold, node if at most, node otherwise).
Node = Any


def emit_walk(writer: CodeWriter, trees: Sequence[Tree], expressions: Sequence[Expression]) -> tuple[str, Array]:
    """Write the walk of one row.

    Returns
    -------
    name : str
        Holds an array of positions, one a tree.
    values : ndarray of shape (leaves of all trees, k)
        The leaf values by position.
    """
    values: list[Array] = []
    roots = [_nest(tree, values, len(expressions)) for tree in trees]
    names = [writer.emit(expression) for expression in expressions]
    row = ", ".join([*names, *(f"-{name}" for name in names)])
    return writer.assign(f"{writer.constant(_walk)}({writer.constant(roots)}, ({row},))"), np.array(values)


def _walk(roots: list[Node], row: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """Return the position of each tree's leaf for a row that is followed by its negatives."""
    leaves = []
    for root in roots:
        node = root
        while type(node) is tuple:
            feature, threshold, at_most, otherwise = node
            node = at_most if row[feature] <= threshold else otherwise
        leaves.append(node)
    return np.array(leaves)


def _nest(tree: Tree, values: list[Array], width: int) -> Node:
    """Convert a tree to nested tuples, and append its leaf values to `values`.

    NaN is never at most a threshold, so it takes the last branch of a tuple. Where NaN goes left, the test is reversed
    by means of the negatives: x > t is -x <= the float before -t.
    """
    built: dict[int, Node] = {}
    stack = [0]
    while stack:
        node = stack[-1]
        if tree.feature[node] < 0:
            built[node] = len(values)
            values.append(tree.values[node])
            stack.pop()
        elif tree.left[node] not in built:
            stack.append(tree.left[node])
        elif tree.right[node] not in built:
            stack.append(tree.right[node])
        else:
            built[node] = _split(tree, node, built, width)
            stack.pop()
    return built[0]


def _split(tree: Tree, node: int, built: dict[int, Node], width: int) -> Node:
    """Return the tuple of a split whose children are built."""
    feature, threshold = tree.feature[node], tree.threshold[node]
    left, right = built.pop(tree.left[node]), built.pop(tree.right[node])
    if node in tree.categories:
        return _category_chain(tree, node, left, right)
    if not tree.missing_left[node]:
        return feature, threshold, left, right
    if threshold == np.inf:
        return left
    return feature + width, float(np.nextafter(-threshold, -np.inf)), right, left


def _category_chain(tree: Tree, node: int, left: Node, right: Node) -> Node:
    """Return a split by categories as a chain of splits between integers, from the largest category down."""
    goes_left, known = tree.categories[node]
    feature = tree.feature[node]
    other = left if tree.missing_left[node] else right
    chain = other  # below the smallest category, that is, negative
    top = max(known, default=-1)
    for category in range(top + 1):
        inside = other if category not in known else left if category in goes_left else right
        chain = (feature, category - 0.5, chain, inside) if inside is not chain else chain
    # NaN is not at most any threshold, so it takes the last branch here, which is `other`.
    return feature, top + 0.5, chain, other
