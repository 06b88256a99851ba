"""Which leaves of an ensemble each value of each column can reach, as bits.

Every leaf is a bit, every tree a word of them. For every interval between a column's thresholds (and
every value of a table) the bits of the leaves that can still be reached are worked out beforehand; the
conjunction over the columns leaves exactly one bit a tree. That takes one lookup and one `&` a column,
however many trees there are and however deep they grew: for one row on large Python integers, for many on
arrays.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skline.scoring.answers import FloatArray
from skline.scoring.cells import Table
from skline.scoring.source import Batch, Cell, Code, Source
from skline.scoring.trees import Tree

#: Leaves a tree may have to be given bits: those of one machine word.
WORDS = (8, 16, 32, 64)
#: Bytes that all lookup tables of an ensemble may take.
LARGEST_TABLES = 64 * 2**20


@dataclass(frozen=True)
class Column:
    """Where one column's values can lead: bits by interval between `thresholds`, or by code.

    With thresholds, the last entry of `reach` is for missing values.
    """

    cell: Cell | Code
    thresholds: list[float] | None
    reach: list[int]


class Lookups:
    """Lookup tables of an ensemble.

    Parameters
    ----------
    trees : sequence of Tree
    cells : sequence of Cell
        float64 cells, by feature.
    word : int
        Bits for each tree, one of WORDS; no tree has more leaves.

    Attributes
    ----------
    leaf_values : ndarray of shape (trees * word, k)
        What stands in the leaf of each bit.
    """

    def __init__(self, trees: Sequence[Tree], cells: Sequence[Cell], word: int) -> None:
        self.word = word
        self.dtype = np.dtype(f"<u{word // 8}")
        self.size = len(trees) * word // 8
        self.leaf_values: FloatArray = np.zeros((len(trees) * word, trees[0].values.shape[1]))
        # A power of two as a float64 has the bit's number in its exponent.
        self._offsets = np.arange(len(trees)) * word - 1023
        splits = Splits()
        self._all = 0
        for index, tree in enumerate(trees):
            self._all |= self._number(tree, index * word, splits)
        self.columns = self._columns(cells, splits)
        self._tables = [
            (c.cell, None if c.thresholds is None else np.array(c.thresholds), self._words(c.reach))
            for c in self.columns
        ]

    def _number(self, tree: Tree, first: int, splits: "Splits") -> int:
        """Give the tree's leaves bits from `first` on, note its splits, and return the bits."""
        reach = [0] * len(tree.feature)
        bit = first
        order, stack = [], [0]
        while stack:
            node = stack.pop()
            order.append(node)
            if tree.feature[node] < 0:
                reach[node] = 1 << bit
                self.leaf_values[bit] = tree.values[node]
                bit += 1
            else:
                stack += [tree.left[node], tree.right[node]]
        for node in reversed(order):
            if tree.feature[node] >= 0:
                left, right = reach[tree.left[node]], reach[tree.right[node]]
                reach[node] = left | right
                splits.note(tree, node, left, right)
        return reach[0]

    def _columns(self, cells: Sequence[Cell], splits: "Splits") -> list[Column]:
        """One column for each cell that is split on; tables over the same code share one."""
        by_code: dict[int, Column] = {}
        columns: list[Column] = []
        for feature in splits.features:
            cell = cells[feature]
            if isinstance(cell, Table):
                column = by_code.setdefault(id(cell.code), Column(cell.code, None, [self._all] * cell.code.size))
                for entry, lost in enumerate(splits.lost(feature, cell.entries.tolist())):
                    column.reach[entry] &= ~lost
            else:
                thresholds, losses = splits.intervals(feature)
                columns.append(Column(cell, thresholds, [self._all & ~lost for lost in losses]))
        return [*columns, *by_code.values()]

    def _words(self, reach: list[int]) -> npt.NDArray[Any]:
        """Bits as an array of shape (entries, trees)."""
        joined = b"".join(bits.to_bytes(self.size, "little") for bits in reach)
        return np.frombuffer(joined, dtype=self.dtype).reshape(len(reach), -1)

    def emit(self, source: Source) -> str:
        """Write the lookups of one row, and return an expression for the integer that has one bit a tree."""
        terms = []
        for column in self.columns:
            value = source.of(column.cell)
            if column.thresholds is None:
                terms.append(f"{source.constant(column.reach)}[{value}]")
                continue
            table, missing = source.constant(column.reach), source.constant(column.reach[-1])
            place = f"{source.constant(bisect_left)}({source.constant(column.thresholds)}, {value})"
            terms.append(f"({missing} if {value} != {value} else {table}[{place}])")
        return " & ".join(terms) or source.constant(self._all)

    def positions(self, bits: int) -> npt.NDArray[np.int64]:
        """The integer that has one bit a tree → positions in `leaf_values`, shape (trees,)."""
        words = np.frombuffer(bits.to_bytes(self.size, "little"), self.dtype)
        exponents: npt.NDArray[np.int64] = words.astype(np.float64).view(np.int64) >> 52
        exponents += self._offsets
        return exponents

    def positions_of(self, batch: Batch, rows: slice) -> npt.NDArray[np.int64]:
        """Positions in `leaf_values` for some rows of a batch, shape (rows, trees)."""
        # Every entry is within its table: told to clip, NumPy need not look, which takes half of the time.
        words: npt.NDArray[Any] | None = None
        for cell, thresholds, table in self._tables:
            values = batch.of(cell)[rows]
            entries = values
            if thresholds is not None:
                entries = np.searchsorted(thresholds, values, side="left")
                entries[np.isnan(values)] = len(table) - 1
            reached = table.take(entries, axis=0, mode="clip")
            words = reached if words is None else np.bitwise_and(words, reached, out=words)
        if words is None:
            count = len(range(*rows.indices(batch.size)))
            words = np.repeat(self._words([self._all]), count, axis=0)
        exponents: npt.NDArray[np.int64] = words.astype(np.float64).view(np.int64) >> 52
        exponents += self._offsets
        return exponents


class Splits:
    """The splits of all trees, by feature, with the bits that each of their sides leads to."""

    def __init__(self) -> None:
        self._ordered: dict[int, list[tuple[float, int, int, bool]]] = {}
        self._sets: dict[int, list[tuple[frozenset[int], frozenset[int], int, int, bool]]] = {}

    @property
    def features(self) -> list[int]:
        """Features that are split on."""
        return sorted({*self._ordered, *self._sets})

    def note(self, tree: Tree, node: int, left: int, right: int) -> None:
        """Remember a split and the bits of its two sides."""
        feature, missing_left = tree.feature[node], tree.missing_left[node]
        if node in tree.categories:
            self._sets.setdefault(feature, []).append((*tree.categories[node], left, right, missing_left))
        else:
            self._ordered.setdefault(feature, []).append((tree.threshold[node], left, right, missing_left))

    def lost(self, feature: int, values: Sequence[float]) -> list[int]:
        """Bits that each of some values of a feature cannot reach."""
        thresholds, lost = self.intervals(feature)
        bits = [lost[-1] if math.isnan(value) else lost[bisect_left(thresholds, value)] for value in values]
        for categories, known, left, right, missing_left in self._sets.get(feature, ()):
            for entry, value in enumerate(values):
                unknown = math.isnan(value) or value < 0 or int(value) not in known
                goes_left = missing_left if unknown else int(value) in categories
                bits[entry] |= right if goes_left else left
        return bits

    def intervals(self, feature: int) -> tuple[list[float], list[int]]:
        """A feature's thresholds, and the bits lost in each interval between them and, last, to NaN."""
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
        lost = [a | b for a, b in zip(from_below, reversed(from_above), strict=True)]
        return thresholds, [*lost, missing]


def build_lookups(trees: Sequence[Tree], cells: Sequence[Cell]) -> Lookups | None:
    """Return lookup tables, or None where trees have too many leaves or the tables would be too large."""
    most = max(tree.leaves for tree in trees)
    word = next((word for word in WORDS if word >= most), None)
    if word is None:
        return None
    splits = {(f, t) for tree in trees for f, t in zip(tree.feature, tree.threshold, strict=True) if f >= 0}
    entries = sum(not isinstance(cells[feature], Table) for feature, _ in splits)
    entries += sum(cell.code.size for cell in {id(c.code): c for c in cells if isinstance(c, Table)}.values())
    # Twice: as integers for one row, as words for many.
    if 2 * (entries + 2 * len(cells)) * len(trees) * word // 8 > LARGEST_TABLES:
        return None
    return Lookups(trees, cells, word)
