"""Decision trees in one form, whichever estimator grew them, and the margin that an ensemble of them adds up.

For one row the trees are not walked. Every leaf is a bit of one large integer. For every interval
between a column's thresholds (and every value of a table) the bits of the leaves that it can reach are worked
out beforehand; the conjunction over the columns leaves exactly one bit a tree. It takes one lookup and one
`&` a column, whatever the number of trees, and no compiling of code. Trees too large for that are walked.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray
from skline.scoring.cells import Array, Batch, Cell, Code, Source, Table
from skline.scoring.model import Margin
from skline.scoring.walk import emit_walk

#: Leaves a tree may have to be given bits: one machine word.
LARGEST_WORD = 64
#: Bytes that all lookup tables of a plan may take.
LARGEST_TABLES = 64 * 2**20
#: Nodes above which one row goes through the array plan.
LARGEST_WALK = 500_000


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


class Ensemble(Margin):
    """The margin of an ensemble: leaf values added up in order, beginning with the first tree's.

    Parameters
    ----------
    trees : sequence of Tree
        Their values have k columns.
    cells : sequence of Cell
        float64 cells, by feature.
    width : int
        Number of sums: for k = 1, trees 0, `width`, 2 `width` ... add to the first of them.
    divisor : float or None
        What the sums are divided by.
    scalar : bool
        Whether the margin of one row is a float, rather than an array.
    kernel : callable
        The estimator's own arithmetic: float64 of shape (n, features) → margins.
    exactness : {"bits", "ulp"}
    """

    def __init__(
        self,
        trees: Sequence[Tree],
        cells: Sequence[Cell],
        kernel: Callable[[FloatArray], FloatArray],
        *,
        width: int = 1,
        divisor: float | None = None,
        scalar: bool = True,
        exactness: Exactness = "bits",
    ) -> None:
        self.trees = trees
        self.cells = cells
        self.kernel = kernel
        self.width = width
        self.divisor = divisor
        self.scalar = scalar
        self.exactness: Exactness = exactness

    @override
    def values(self, batch: Batch) -> Any:
        return self.kernel(batch.matrix(self.cells))

    @override
    def emit(self, source: Source) -> str:
        word = next((w for w in (8, 16, 32, 64) if w >= max(tree.leaves for tree in self.trees)), None)
        if word is not None:
            lookups = Lookups(self.trees, self.cells, word)
            if lookups.bytes <= LARGEST_TABLES:
                collect = source.constant(self._collector(word, lookups.leaf_values))
                return source.assign(f"{collect}({lookups.emit(source)})")
        if sum(len(tree.feature) for tree in self.trees) <= LARGEST_WALK:
            ids, values = emit_walk(source, self.trees, self.cells)
            return source.assign(f"{source.constant(self._summer(values))}({ids})")
        names = ", ".join(source.of(cell) for cell in self.cells)
        return source.assign(f"{source.constant(self._one_row)}(({names},))")

    def _one_row(self, row: tuple[float, ...]) -> Any:
        """Score one row by the estimator's own kernel."""
        margin = self.kernel(np.array([row]))[0]
        return margin.item() if self.scalar else margin

    def _collector(self, word: int, leaf_values: FloatArray) -> Callable[[int], Any]:
        """Return a function: the integer with one bit a tree → the margin."""
        size = len(self.trees) * word // 8
        dtype = np.dtype(f"<u{word // 8}")
        # A power of two as a float64 has the bit's number in its exponent.
        offsets = np.arange(len(self.trees)) * word - 1023
        add_up = self._summer(leaf_values)
        frombuffer, float64, int64 = np.frombuffer, np.float64, np.int64

        def collect(bits: int) -> Any:
            exponents = frombuffer(bits.to_bytes(size, "little"), dtype).astype(float64).view(int64) >> 52
            exponents += offsets
            return add_up(exponents)

        return collect

    def _summer(self, leaf_values: FloatArray) -> Callable[[Any], Any]:
        """Return a function: positions in `leaf_values`, one a tree → the margin, summed in order."""
        accumulate = np.add.accumulate
        divisor = self.divisor
        if self.scalar:
            flat = leaf_values[:, 0]

            def total(positions: Any) -> Any:
                value = accumulate(flat.take(positions)).item(-1)
                return value if divisor is None else value / divisor

            return total
        columns = max(self.width, leaf_values.shape[1])

        def totals(positions: Any) -> Any:
            sums = accumulate(leaf_values.take(positions, axis=0).reshape(-1, columns), axis=0)[-1]
            return sums if divisor is None else sums / divisor

        return totals


class Lookups:
    """For every column, which leaves a value can reach."""

    def __init__(self, trees: Sequence[Tree], cells: Sequence[Cell], word: int) -> None:
        self.word = word
        self.cells = cells
        self.size = len(trees) * word // 8
        self.leaf_values = np.zeros((len(trees) * word, trees[0].values.shape[1]))
        #: By feature: (threshold, leaves lost to values above, leaves lost to values not above, lost to NaN)
        self.splits: dict[int, list[tuple[float, int, int, int]]] = {}
        self.sets: dict[int, list[tuple[frozenset[int], frozenset[int], int, int, bool]]] = {}
        self.all = 0
        for index, tree in enumerate(trees):
            self.all |= self._number(tree, index * word)

    @property
    def bytes(self) -> int:
        """Estimate of what the tables take."""
        entries = sum(len({split[0] for split in splits}) + 2 for splits in self.splits.values())
        tables = sum(c.code.size for c in self.cells if isinstance(c, Table))
        return (entries + tables) * (self.size + 32)

    def _number(self, tree: Tree, first: int) -> int:
        """Give the tree's leaves bits from `first` on, note its splits, and return the bits."""
        reach = [0] * len(tree.feature)
        bit = first
        # Children may stand before or after their parents: visit in depth-first order, gather in reverse.
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
                self._note(tree, node, left, right)
        return reach[0]

    def _note(self, tree: Tree, node: int, left: int, right: int) -> None:
        missing_left = tree.missing_left[node]
        if node in tree.categories:
            goes_left, known = tree.categories[node]
            self.sets.setdefault(tree.feature[node], []).append((goes_left, known, left, right, missing_left))
        else:
            lost = right if missing_left else left
            self.splits.setdefault(tree.feature[node], []).append((tree.threshold[node], left, right, lost))

    def emit(self, source: Source) -> str:
        """Write the lookups of one row, and return an expression for the integer."""
        by_code: dict[int, tuple[Code, list[int]]] = {}
        terms: list[str] = []
        for feature in sorted({*self.splits, *self.sets}):
            cell = self.cells[feature]
            if isinstance(cell, Table):
                _, reach = by_code.setdefault(id(cell.code), (cell.code, [self.all] * cell.code.size))
                for entry, value in enumerate(cell.entries.tolist()):
                    reach[entry] &= self._reached(feature, value)
            else:
                terms.append(self._interval(source, feature, source.of(cell)))
        terms.extend(f"{source.constant(reach)}[{source.of(code)}]" for code, reach in by_code.values())
        return " & ".join(terms) or source.constant(self.all)

    def _interval(self, source: Source, feature: int, value: str) -> str:
        """An expression for what a value can reach by the thresholds around it."""
        lost: dict[float, tuple[int, int]] = {}
        for threshold, left, right, _ in self.splits[feature]:
            above, below = lost.get(threshold, (0, 0))
            lost[threshold] = above | left, below | right
        thresholds = sorted(lost)
        from_below, from_above = [self.all], [self.all]
        for threshold in thresholds:
            from_below.append(from_below[-1] & ~lost[threshold][0])
        for threshold in reversed(thresholds):
            from_above.append(from_above[-1] & ~lost[threshold][1])
        reach = [a & b for a, b in zip(from_below, reversed(from_above), strict=True)]
        table, missing = source.constant(reach), source.constant(self._reached(feature, float("nan")))
        bisect = f"{source.constant(bisect_left)}({source.constant(thresholds)}, {value})"
        return f"({missing} if {value} != {value} else {table}[{bisect}])"

    def _reached(self, feature: int, value: float) -> int:
        """The leaves that one value can reach."""
        lost = 0
        missing = math.isnan(value)
        for threshold, left, right, lost_missing in self.splits.get(feature, ()):
            lost |= lost_missing if missing else right if value <= threshold else left
        for goes_left, known, left, right, missing_left in self.sets.get(feature, ()):
            unknown = missing or value < 0 or int(value) not in known
            goes = missing_left if unknown else int(value) in goes_left
            lost |= right if goes else left
        return self.all & ~lost


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
