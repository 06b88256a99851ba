"""Trees as nested conditional expressions in the row function, for tables with many columns.

A row passes one comparison a level of each tree, however many columns there are; lookup tables take one lookup a
column, however many trees there are.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from skline.scoring.code_writer import Array, CodeWriter, Expression
from skline.scoring.estimators.trees import Tree

#: Splits that are compiled at most, each time a plan is loaded.
MAX_SPLITS = 10_000
#: A leaf's number is a byte.
MAX_LEAVES = 256
#: Python's parser takes up to 200 nested parentheses.
MAX_DEPTH = 150
#: What one lookup of a column takes, by measurement.
COMPARISONS_PER_LOOKUP = 15


def can_compile(trees: Sequence[Tree]) -> bool:
    """Return whether the trees are few and small enough."""
    return (
        sum(len(tree.feature) - tree.leaves for tree in trees) <= MAX_SPLITS
        and all(tree.leaves <= MAX_LEAVES for tree in trees)
        and all(max(tree.leaf_depths()) <= MAX_DEPTH for tree in trees)
    )


def branches_are_faster(trees: Sequence[Tree], lookups: int) -> bool:
    """Return whether a row passes the trees' comparisons faster than a number of lookups in tables."""
    comparisons = sum(fmean(tree.leaf_depths()) for tree in trees)
    return comparisons < COMPARISONS_PER_LOOKUP * lookups


def emit_branch_sum(writer: CodeWriter, trees: Sequence[Tree], expressions: Sequence[Expression]) -> str:
    """Write the branches of one row to leaves of one float64 each, and return the name that holds their sum."""
    total = ""
    for tree in trees:
        values = {node: repr(float(tree.values[node, 0])) for node in tree.leaf_nodes()}
        source = _tree_source(writer, tree, expressions, values)
        if total:
            writer.lines.append(f"{total} += {source}")
        else:
            total = writer.assign(source)
    return total


def emit_branches(writer: CodeWriter, trees: Sequence[Tree], expressions: Sequence[Expression]) -> tuple[str, Array]:
    """Write the branches of one row to leaves of any values.

    Returns
    -------
    name : str
        Holds an array of positions, one a tree.
    values : ndarray of shape (leaves of all trees, k)
        The leaf values by position.
    """
    sources = []
    for tree in trees:
        numbers = {node: str(number) for number, node in enumerate(tree.leaf_nodes())}
        sources.append(_tree_source(writer, tree, expressions, numbers))
    first_leaves = np.cumsum([0, *(tree.leaves for tree in trees[:-1])])
    content = f"{writer.constant(np.frombuffer)}(bytes([{', '.join(sources)}]), {writer.constant(np.dtype(np.uint8))})"
    positions = writer.assign(f"{content} + {writer.constant(first_leaves)}")
    return positions, np.concatenate([tree.values[tree.leaf_nodes()] for tree in trees])


def _tree_source(writer: CodeWriter, tree: Tree, expressions: Sequence[Expression], leaves: Mapping[int, str]) -> str:
    """Return a tree as an expression that takes one of the sources of its leaves, which are given by node."""
    order, stack = [], [0]
    while stack:
        node = stack.pop()
        order.append(node)
        if node not in leaves:
            stack += [tree.left[node], tree.right[node]]
    sources: dict[int, str] = {}
    for node in reversed(order):
        if node in leaves:
            sources[node] = leaves[node]
        else:
            left, right = sources.pop(tree.left[node]), sources.pop(tree.right[node])
            condition = _condition(writer, tree, node, writer.emit(expressions[tree.feature[node]]))
            sources[node] = f"({left} if {condition} else {right})"
    return sources[0]


def _condition(writer: CodeWriter, tree: Tree, node: int, value: str) -> str:
    """Return the condition under which a row goes left; every comparison with NaN is false."""
    missing_left = tree.missing_left[node]
    if node in tree.categories:
        goes_left, known = tree.categories[node]
        if missing_left:
            return f"{value} not in {writer.constant(known - goes_left)}"
        return f"{value} in {writer.constant(known & goes_left)}"
    threshold = repr(float(tree.threshold[node]))
    return f"not {value} > {threshold}" if missing_left else f"{value} <= {threshold}"
