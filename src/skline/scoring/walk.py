"""Walking trees node by node in Python: for those whose lookup tables would take too much memory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skline.scoring.answers import FloatArray
from skline.scoring.source import Cell, Source

if TYPE_CHECKING:
    from skline.scoring.trees import Tree

#: A leaf is its position among all leaf values; a split is (feature, threshold, at most, else).
Node = Any


def emit_walk(source: Source, trees: "Sequence[Tree]", cells: Sequence[Cell]) -> tuple[str, FloatArray]:
    """Write the walk of one row.

    Returns
    -------
    name : str
        Holds a list of positions, one a tree.
    values : ndarray of shape (leaves of all trees, k)
        What stands at the positions.
    """
    values: list[FloatArray] = []
    roots = [_nest(tree, values, len(cells)) for tree in trees]
    names = [source.of(cell) for cell in cells]
    row = ", ".join([*names, *(f"-{name}" for name in names)])
    return source.assign(f"{source.constant(_walk)}({source.constant(roots)}, ({row},))"), np.array(values)


def _walk(roots: list[Node], row: tuple[float, ...]) -> list[int]:
    """Return each tree's leaf for a row that is followed by its negatives."""
    leaves = []
    for root in roots:
        node = root
        while type(node) is tuple:
            feature, threshold, at_most, otherwise = node
            node = at_most if row[feature] <= threshold else otherwise
        leaves.append(node)
    return leaves


def _nest(tree: "Tree", values: list[FloatArray], width: int) -> Node:
    """Turn a tree into nested tuples; leaf values are appended to `values`.

    NaN is never at most a threshold, so it goes to the last place of a tuple. Where they go left, the
    test is turned round by the negatives: x > t is -x <= the float before -t.
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


def _split(tree: "Tree", node: int, built: dict[int, Node], width: int) -> Node:
    """One split whose children are built."""
    feature, threshold = tree.feature[node], tree.threshold[node]
    left, right = built.pop(tree.left[node]), built.pop(tree.right[node])
    if node in tree.categories:
        return _categories(tree, node, left, right)
    if not tree.missing_left[node]:
        return feature, threshold, left, right
    if threshold == np.inf:
        return left
    return feature + width, float(np.nextafter(-threshold, -np.inf)), right, left


def _categories(tree: "Tree", node: int, left: Node, right: Node) -> Node:
    """A split by categories as a chain of splits between whole numbers, from the largest category down."""
    goes_left, known = tree.categories[node]
    feature = tree.feature[node]
    other = left if tree.missing_left[node] else right
    chain = other  # below the smallest category, that is, negative
    top = max(known, default=-1)
    for category in range(top + 1):
        inside = other if category not in known else left if category in goes_left else right
        chain = (feature, category - 0.5, chain, inside) if inside is not chain else chain
    # NaN is not at most anything either, so it ends in the last place here, which is `other`.
    return feature, top + 0.5, chain, other
