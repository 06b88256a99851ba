"""Lookup tables that find the leaves a row reaches in all trees of an ensemble at once.

Each leaf is a bit, and each tree a machine word of bits. For each interval between a column's thresholds (and for each
entry of a table) the bits of the leaves that can still be reached are computed in advance. The bitwise AND over the
columns leaves exactly one bit for each tree. That takes one lookup and one `&` a column, independent of the number and
depth of the trees: on large Python integers for one row, on arrays for a batch.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.estimators.trees import Tree
from skline.scoring.expressions import LookupTable

#: Numbers of bits that a tree may get, and so of leaves: those of one machine word.
WORD_SIZES = (8, 16, 32, 64)
#: Bytes that all lookup tables of an ensemble may take.
MAX_TABLE_BYTES = 64 * 2**20


def build_leaf_lookup(trees: Sequence[Tree], expressions: Sequence[Expression]) -> "LeafLookup | None":
    """Return the lookup tables, or None where a tree has too many leaves or the tables would be too large."""
    max_leaves = max(tree.leaves for tree in trees)
    word_size = next((size for size in WORD_SIZES if size >= max_leaves), None)
    if word_size is None:
        return None
    splits = {(f, t) for tree in trees for f, t in zip(tree.feature, tree.threshold, strict=True) if f >= 0}
    entries = sum(not isinstance(expressions[feature], LookupTable) for feature, _ in splits)
    indices = {id(e.index): e.index for e in expressions if isinstance(e, LookupTable)}
    entries += sum(index.size for index in indices.values())
    # The factor 2: as integers for one row, and as words for batches.
    if 2 * (entries + 2 * len(expressions)) * len(trees) * word_size // 8 > MAX_TABLE_BYTES:
        return None
    return LeafLookup(trees, expressions, word_size)


@dataclass(frozen=True)
class ReachableLeaves:
    """The leaves that one column's values can reach, as bits: by interval between `thresholds`, or by table index.

    With thresholds, the last entry of `bits` is for missing values.
    """

    column: Expression | TableIndex
    thresholds: list[float] | None
    bits: list[int]


class LeafLookup:
    """Lookup tables of an ensemble.

    Parameters
    ----------
    trees : sequence of Tree
    expressions : sequence of Expression
        float64 expressions, by feature.
    word_size : int
        Bits for each tree, one of WORD_SIZES; no tree has more leaves.

    Attributes
    ----------
    leaf_values : ndarray of shape (trees * word_size, k)
        The value of the leaf of each bit, in the dtype of the trees' values.
    """

    def __init__(self, trees: Sequence[Tree], expressions: Sequence[Expression], word_size: int) -> None:
        self.word_size = word_size
        self.dtype = np.dtype(f"<u{word_size // 8}")
        self.n_bytes = len(trees) * word_size // 8
        first = trees[0].values
        self.leaf_values: Array = np.zeros((len(trees) * word_size, first.shape[1]), dtype=first.dtype)
        # The exponent of a power of two as a float64 is the bit's number.
        self._offsets = np.arange(len(trees)) * word_size - 1023
        splits = SplitCollector()
        self._all_leaves = 0
        for index, tree in enumerate(trees):
            self._all_leaves |= self._number_leaves(tree, index * word_size, splits)
        self.columns = self._reachable_by_column(expressions, splits)
        self._word_tables = [
            (c.column, None if c.thresholds is None else np.array(c.thresholds), self._to_words(c.bits))
            for c in self.columns
        ]

    def _number_leaves(self, tree: Tree, first_bit: int, splits: "SplitCollector") -> int:
        """Give the tree's leaves bits from `first_bit` on, collect its splits, and return the bits."""
        reachable = [0] * len(tree.feature)
        bit = first_bit
        order, stack = [], [0]
        while stack:
            node = stack.pop()
            order.append(node)
            if tree.feature[node] < 0:
                reachable[node] = 1 << bit
                self.leaf_values[bit] = tree.values[node]
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
        self, expressions: Sequence[Expression], splits: "SplitCollector"
    ) -> list[ReachableLeaves]:
        """Return the tables of all columns that are split on; lookup tables over the same index share one."""
        by_index: dict[int, ReachableLeaves] = {}
        columns: list[ReachableLeaves] = []
        for feature in splits.features:
            expression = expressions[feature]
            if isinstance(expression, LookupTable):
                index = expression.index
                column = by_index.setdefault(id(index), ReachableLeaves(index, None, [self._all_leaves] * index.size))
                for entry, excluded in enumerate(splits.excluded(feature, expression.entries.tolist())):
                    column.bits[entry] &= ~excluded
            else:
                thresholds, excluded_bits = splits.intervals(feature)
                bits = [self._all_leaves & ~excluded for excluded in excluded_bits]
                columns.append(ReachableLeaves(expression, thresholds, bits))
        return [*columns, *by_index.values()]

    def _to_words(self, bits: list[int]) -> npt.NDArray[Any]:
        """Convert integers to an array of shape (entries, trees)."""
        joined = b"".join(entry.to_bytes(self.n_bytes, "little") for entry in bits)
        return np.frombuffer(joined, dtype=self.dtype).reshape(len(bits), -1)

    def emit(self, writer: CodeWriter) -> str:
        """Write the lookups of one row, and return an expression for the integer that has one bit for each tree."""
        terms = []
        for column in self.columns:
            value = writer.emit(column.column)
            if column.thresholds is None:
                terms.append(f"{writer.constant(column.bits)}[{value}]")
                continue
            table, missing = writer.constant(column.bits), writer.constant(column.bits[-1])
            interval = f"{writer.constant(bisect_left)}({writer.constant(column.thresholds)}, {value})"
            terms.append(f"({missing} if {value} != {value} else {table}[{interval}])")
        return " & ".join(terms) or writer.constant(self._all_leaves)

    def row_positions(self, bits: int) -> npt.NDArray[np.int64]:
        """Convert the integer that has one bit for each tree to positions in `leaf_values`, shape (trees,)."""
        words = np.frombuffer(bits.to_bytes(self.n_bytes, "little"), self.dtype)
        exponents: npt.NDArray[np.int64] = words.astype(np.float64).view(np.int64) >> 52
        exponents += self._offsets
        return exponents

    def batch_positions(self, batch: BatchContext, rows: slice) -> npt.NDArray[np.int64]:
        """Return positions in `leaf_values` for some rows of a batch, shape (rows, trees)."""
        # All entries are within their tables; mode="clip" spares NumPy the bounds check, half of the time.
        words: npt.NDArray[Any] | None = None
        for column, thresholds, table in self._word_tables:
            values = batch.evaluate(column)[rows]
            entries = values
            if thresholds is not None:
                entries = np.searchsorted(thresholds, values, side="left")
                entries[np.isnan(values)] = len(table) - 1
            reachable = table.take(entries, axis=0, mode="clip")
            words = reachable if words is None else np.bitwise_and(words, reachable, out=words)
        if words is None:
            count = len(range(*rows.indices(batch.size)))
            words = np.repeat(self._to_words([self._all_leaves]), count, axis=0)
        exponents: npt.NDArray[np.int64] = words.astype(np.float64).view(np.int64) >> 52
        exponents += self._offsets
        return exponents


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
