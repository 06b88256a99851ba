"""Lookup tables, compiled branches and the walk find the leaf that a row reaches from split to split."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.scoring.code_writer import BatchContext, CodeWriter, Expression
from skline.scoring.estimators import branches
from skline.scoring.estimators.ensemble import TreeSum
from skline.scoring.estimators.symmetric_lookup import SymmetricLookup
from skline.scoring.estimators.trees import Tree, constant_tree
from skline.scoring.expressions import FlagIndex, InputColumn, LookupTable

from .tables import use_row_method

#: Two numbers, and two columns that are looked up with the same index of False and True.
FLAG = FlagIndex(InputColumn(2, "bool"))
EXPRESSIONS: tuple[Expression, ...] = (
    InputColumn(0, "float64"),
    InputColumn(1, "float64"),
    LookupTable(FLAG, np.array([1.0, math.nan])),
    LookupTable(FLAG, np.array([3.0, 0.0])),
)
NUMBERS = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 0.1, 1e300, math.inf, -math.inf]) | st.floats(-2, 2)
ROWS = st.tuples(NUMBERS | st.none(), NUMBERS | st.none(), st.booleans())
#: Feature, threshold or categories, whether a missing value goes left.
SPLITS = st.tuples(st.integers(0, 3), NUMBERS, st.booleans())
CATEGORIES = st.tuples(st.integers(2, 3), st.frozensets(st.integers(0, 4)), st.booleans())
#: A leaf is its value, a split (split, left, right).
ANY_TREES = st.recursive(st.floats(-1, 1), lambda side: st.tuples(SPLITS | CATEGORIES, side, side), max_leaves=12)


@st.composite
def symmetric_trees(draw: Any) -> Any:
    """Generate a tree with one split a level."""
    values = st.floats(-1, 1)

    def grow(levels: list[Any]) -> Any:
        return (levels[0], grow(levels[1:]), grow(levels[1:])) if levels else draw(values)

    return grow(draw(st.lists(SPLITS, max_size=4)))


def flatten(root: Any) -> Tree:
    """Convert a generated tree."""
    tree = Tree([], [], [], [], [], np.empty((0, 1)), {})
    values: list[list[float]] = []

    def add(node: Any) -> int:
        position = len(values)
        is_leaf = isinstance(node, float)
        feature, limit, missing_left = (-1, 0.0, False) if is_leaf else node[0]
        values.append([node if is_leaf else 0.0])
        tree.feature.append(feature)
        tree.threshold.append(limit if isinstance(limit, float) else 0.0)
        tree.missing_left.append(missing_left)
        tree.left.append(-1)
        tree.right.append(-1)
        if not is_leaf:
            if not isinstance(limit, float):
                tree.categories[position] = limit, limit | {0, 3}
            tree.left[position], tree.right[position] = add(node[1]), add(node[2])
        return position

    add(root)
    return Tree(
        tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, np.array(values), tree.categories
    )


def reached_value(node: Any, values: Sequence[float]) -> float:
    """Return the value of the leaf that a row reaches from split to split."""
    while not isinstance(node, float):
        (feature, limit, missing_left), left, right = node
        value = values[feature]
        if isinstance(limit, float):
            goes_left = missing_left if math.isnan(value) else value <= limit
        else:
            is_known = value in limit | {0, 3}
            goes_left = value in limit if is_known else missing_left
        node = left if goes_left else right
    return node


def sum_in_order(values: Iterable[float]) -> float:
    """Add floats one by one; `sum` compensates for their rounding."""
    total = 0.0
    for value in values:
        total += value
    return total


def row_margin(margin: TreeSum, row: tuple[Any, ...]) -> Any:
    """Compute the margin of one row by the code that it writes."""
    writer = CodeWriter()
    result = margin.emit(writer)
    source = "\n".join(["r0, r1, r2 = row", *writer.lines])
    variables: dict[str, Any] = {}
    exec(source, writer.namespace | {"row": row}, variables)  # noqa: S102 - as Plan does
    return variables[result]


def assert_sums_of_reached_leaves(margin: TreeSum, roots: list[Any], rows: list[tuple[Any, ...]]) -> None:
    """Compare the margins of rows, one by one and as a batch, with the sums of the leaves that they reach."""
    numbers = [[math.nan if value is None else value for value in row[:2]] for row in rows]
    columns = [*np.array(numbers).T, np.array([row[2] for row in rows])]
    expected = []
    for first, second, flag in zip(*columns, strict=True):
        values = [first, second, math.nan if flag else 1.0, 0.0 if flag else 3.0]
        expected.append(sum_in_order(reached_value(root, values) for root in roots))
    assert [row_margin(margin, row) for row in rows] == expected
    if margin.lookup is not None:  # otherwise the estimator itself predicts batches
        assert margin.evaluate(BatchContext(lambda position: columns[position], len(rows))).tolist() == expected


def tree_sum(roots: list[Any]) -> TreeSum:
    trees = [constant_tree(np.zeros(1)), *(flatten(root) for root in roots)]
    return TreeSum(trees, EXPRESSIONS, lambda _: np.empty(0))


@pytest.mark.parametrize("row_method", ["lookup tables", "branches", "walk"])
@pytest.mark.parametrize("roots", [ANY_TREES, symmetric_trees()], ids=["any trees", "symmetric trees"])
@given(data=st.data())
@settings(max_examples=40, derandomize=True, deadline=None)
def test_a_row_reaches_its_leaves(data: st.DataObject, roots: Any, row_method: str) -> None:
    trees = data.draw(st.lists(roots, min_size=1, max_size=4))
    with pytest.MonkeyPatch.context() as patch:
        use_row_method(patch, row_method)
        margin = tree_sum(trees)
        assert_sums_of_reached_leaves(margin, trees, data.draw(st.lists(ROWS, min_size=1, max_size=6)))


def test_a_chain_of_the_most_splits_is_compiled() -> None:
    root: Any = 0.5
    for level in range(branches.MAX_DEPTH):
        root = ((level % 2, level / 10, True), root, -1.0 / (level + 1))
    margin = tree_sum([root])
    assert margin.has_branches
    assert margin.lookup is None
    rows = [(None, None, False), (0.0, 0.0, False), (0.0, 7.1, True), (14.85, 0.0, False), (20.0, None, True)]
    assert_sums_of_reached_leaves(margin, [root], rows)


def test_symmetric_trees_of_any_depth_have_tables() -> None:
    root: Any = 1.0
    for level in range(8):
        root = ((level % 4, level / 10, False), root, root)
    margin = tree_sum([root])
    assert isinstance(margin.lookup, SymmetricLookup)
