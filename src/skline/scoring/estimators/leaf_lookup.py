"""Lookup tables of any trees: each leaf is a bit, and each tree a machine word of bits.

For each interval between a column's thresholds (and for each entry of an index) the bits of the leaves that can still
be reached are computed in advance. The bitwise AND over the columns leaves exactly one bit for each tree.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, CodeWriter, Expression, TableIndex
from skline.scoring.estimators.column_tables import ColumnTable, ColumnTables, Positions, tables_fit
from skline.scoring.estimators.trees import Tree
from skline.scoring.expressions import LookupTable
from skline.scoring.scores import FloatArray

#: Numbers of bits that a tree may get, and so of leaves: those of one machine word.
WORD_SIZES = (8, 16, 32, 64)


def build_leaf_lookup(trees: Sequence[Tree], expressions: Sequence[Expression]) -> "LeafLookup | None":
    """Return the lookup tables, or None where a tree has too many leaves or the tables would be too large."""
    max_leaves = max(tree.leaves for tree in trees)
    word_size = next((size for size in WORD_SIZES if size >= max_leaves), None)
    if word_size is None or not tables_fit(trees, expressions, word_size // 8):
        return None
    return LeafLookup(trees, expressions, word_size)


class LeafLookup(ColumnTables):
    """Tables whose words are the bits of the leaves that can be reached.

    Parameters
    ----------
    trees : sequence of Tree
    expressions : sequence of Expression
        float64 expressions, by feature.
    word_size : int
        Bits for each tree, one of WORD_SIZES; no tree has more leaves.
    """

    operator = "&"
    join = np.bitwise_and

    def __init__(self, trees: Sequence[Tree], expressions: Sequence[Expression], word_size: int) -> None:
        first = trees[0].values
        leaf_values: Array = np.zeros((len(trees) * word_size, first.shape[1]), dtype=first.dtype)
        # The exponent of a power of two as a float64 is the bit's number.
        self._offsets = np.arange(len(trees)) * word_size - 1023
        splits = SplitCollector()
        all_leaves = 0
        for index, tree in enumerate(trees):
            all_leaves |= _number_leaves(tree, index * word_size, splits, leaf_values)
        shape, dtype = (-1, len(trees)), np.dtype(f"<u{word_size // 8}")
        tables = [
            ColumnTable(column, thresholds, _to_words(bits, shape, dtype))
            for column, thresholds, bits in _reachable_by_column(expressions, splits, all_leaves)
        ]
        super().__init__(tables, _to_words([all_leaves], shape, dtype)[0], leaf_values)

    @override
    def positions(self, words: Array) -> Positions:
        exponents: Positions = words.astype(np.float64).view(np.int64) >> 52
        exponents += self._offsets
        return exponents

    @override
    def positions_source(self, writer: CodeWriter, words: str) -> str:
        float64, int64 = writer.constant(np.dtype(np.float64)), writer.constant(np.dtype(np.int64))
        return f"({words}.astype({float64}).view({int64}) >> 52) + {writer.constant(self._offsets)}"


def _number_leaves(tree: Tree, first_bit: int, splits: "SplitCollector", leaf_values: Array) -> int:
    """Give the tree's leaves bits from `first_bit` on, collect its splits and leaf values, and return the bits."""
    reachable = [0] * len(tree.feature)
    bit = first_bit
    order, stack = [], [0]
    while stack:
        node = stack.pop()
        order.append(node)
        if tree.feature[node] < 0:
            reachable[node] = 1 << bit
            leaf_values[bit] = tree.values[node]
            bit += 1
        else:
            stack += [tree.left[node], tree.right[node]]
    for node in reversed(order):
        if tree.feature[node] >= 0:
            left, right = reachable[tree.left[node]], reachable[tree.right[node]]
            reachable[node] = left | right
            splits.add(tree, node, left, right)
    return reachable[0]


def _reachable_by_column(
    expressions: Sequence[Expression], splits: "SplitCollector", all_leaves: int
) -> list[tuple[Expression | TableIndex, FloatArray | None, list[int]]]:
    """Return column, thresholds and bits of all columns that are split on; tables over the same index share one."""
    by_index: dict[int, tuple[TableIndex, list[int]]] = {}
    columns: list[tuple[Expression | TableIndex, FloatArray | None, list[int]]] = []
    for feature in splits.features:
        expression = expressions[feature]
        if isinstance(expression, LookupTable):
            index = expression.index
            _, bits = by_index.setdefault(id(index), (index, [all_leaves] * index.size))
            for entry, excluded in enumerate(splits.excluded(feature, expression.entries.tolist())):
                bits[entry] &= ~excluded
        else:
            thresholds, excluded_bits = splits.intervals(feature)
            bits = [all_leaves & ~excluded for excluded in excluded_bits]
            columns.append((expression, np.array(thresholds), bits))
    return [*columns, *((index, None, bits) for index, bits in by_index.values())]


def _to_words(bits: list[int], shape: tuple[int, int], dtype: np.dtype[Any]) -> Array:
    """Convert integers to an array of shape (entries, trees)."""
    n_bytes = shape[1] * dtype.itemsize
    return np.frombuffer(b"".join(entry.to_bytes(n_bytes, "little") for entry in bits), dtype).reshape(shape)


class SplitCollector:
    """The splits of all trees by feature, with the bits of the leaves on each of their sides."""

    def __init__(self) -> None:
        self._ordered: dict[int, list[tuple[float, int, int, bool]]] = {}
        self._categorical: dict[int, list[tuple[frozenset[int], frozenset[int], int, int, bool]]] = {}

    @property
    def features(self) -> list[int]:
        """Features that are split on."""
        return sorted({*self._ordered, *self._categorical})

    def add(self, tree: Tree, node: int, left: int, right: int) -> None:
        """Add a split with the bits of its two sides."""
        feature, missing_left = tree.feature[node], tree.missing_left[node]
        if node in tree.categories:
            self._categorical.setdefault(feature, []).append((*tree.categories[node], left, right, missing_left))
        else:
            self._ordered.setdefault(feature, []).append((tree.threshold[node], left, right, missing_left))

    def excluded(self, feature: int, values: Sequence[float]) -> list[int]:
        """Return for each of some values of a feature the bits of the leaves that it cannot reach."""
        thresholds, interval_bits = self.intervals(feature)
        bits = [
            interval_bits[-1] if math.isnan(value) else interval_bits[bisect_left(thresholds, value)]
            for value in values
        ]
        for categories, known, left, right, missing_left in self._categorical.get(feature, ()):
            for entry, value in enumerate(values):
                is_unknown = math.isnan(value) or value < 0 or int(value) not in known
                goes_left = missing_left if is_unknown else int(value) in categories
                bits[entry] |= right if goes_left else left
        return bits

    def intervals(self, feature: int) -> tuple[list[float], list[int]]:
        """Return a feature's thresholds, and the bits excluded in each interval between them and, last, by NaN."""
        sides: dict[float, tuple[int, int]] = {}
        missing = 0
        for threshold, left, right, missing_left in self._ordered.get(feature, ()):
            missing |= right if missing_left else left
            above, at_most = sides.get(threshold, (0, 0))
            sides[threshold] = above | left, at_most | right
        thresholds = sorted(sides)
        from_below, from_above = [0], [0]
        for threshold in thresholds:
            from_below.append(from_below[-1] | sides[threshold][0])
        for threshold in reversed(thresholds):
            from_above.append(from_above[-1] | sides[threshold][1])
        excluded = [a | b for a, b in zip(from_below, reversed(from_above), strict=True)]
        return thresholds, [*excluded, missing]
