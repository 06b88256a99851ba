"""The margin of an ensemble of trees: what their leaves hold, added up in order.

By lookup tables where the trees are small enough for them. Larger ones are walked for one row, and left to
the estimator's own kernel for many.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from skline.scoring.answers import Exactness, FloatArray
from skline.scoring.lookups import build_lookups
from skline.scoring.model import Margin
from skline.scoring.source import Batch, Cell, Source
from skline.scoring.trees import Tree
from skline.scoring.walk import emit_walk

#: Nodes above which one row goes through the estimator's kernel.
LARGEST_WALK = 500_000
#: Rows that are looked up together: few enough to stay in the processor's cache.
CHUNK = 256


class Ensemble(Margin):
    """Leaf values added up in the order of the trees, beginning with the first tree's.

    Parameters
    ----------
    trees : sequence of Tree
        Their values have k columns.
    cells : sequence of Cell
        float64 cells, by feature.
    kernel : callable
        The estimator's own arithmetic: float64 of shape (n, features) → margins.
    width : int
        Number of sums: for k = 1, trees 0, `width`, 2 `width` ... add to the first of them.
    divisor : float or None
        What the sums are divided by.
    scalar : bool
        Whether the margin of one row is a float, rather than an array.
    order : {"C", "F"}
        Memory layout of the estimator's margins, on which the last bits of a softmax depend.
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
        order: Literal["C", "F"] = "C",
        exactness: Exactness = "bits",
    ) -> None:
        self.trees = trees
        self.cells = cells
        self.kernel = kernel
        self.columns = max(width, trees[0].values.shape[1])
        self.divisor = divisor
        self.scalar = scalar
        self.order: Literal["C", "F"] = order
        self.exactness: Exactness = exactness
        self.lookups = build_lookups(trees, cells)

    def __getstate__(self) -> dict[str, Any]:
        """With lookup tables neither trees nor the estimator's kernel are needed, so none is stored."""
        return self.__dict__ | ({} if self.lookups is None else {"trees": (), "kernel": None})

    @override
    def values(self, batch: Batch) -> Any:
        if self.lookups is None:
            return self.kernel(batch.matrix(self.cells))
        sums = np.empty((batch.size, self.columns), order=self.order)
        for start in range(0, batch.size, CHUNK):
            rows = slice(start, start + CHUNK)
            positions = self.lookups.positions_of(batch, rows)
            terms = self.lookups.leaf_values.take(positions, axis=0, mode="clip")
            terms = terms.reshape(len(positions), -1, self.columns)
            sums[rows] = np.add.accumulate(terms, axis=1)[:, -1]
        if self.divisor is not None:
            sums /= self.divisor
        return sums[:, 0] if self.scalar else sums

    @override
    def emit(self, source: Source) -> str:
        if self.lookups is not None:
            collect = source.constant(self._collector(self.lookups.positions, self.lookups.leaf_values))
            return source.assign(f"{collect}({self.lookups.emit(source)})")
        if sum(len(tree.feature) for tree in self.trees) <= LARGEST_WALK:
            leaves, values = emit_walk(source, self.trees, self.cells)
            return source.assign(f"{source.constant(self._collector(np.array, values))}({leaves})")
        names = ", ".join(source.of(cell) for cell in self.cells)
        return source.assign(f"{source.constant(self._one_row)}(({names},))")

    def _one_row(self, row: tuple[float, ...]) -> Any:
        """Score one row by the estimator's own kernel."""
        margin = self.kernel(np.array([row]))[0]
        return margin.item() if self.scalar else margin

    def _collector(self, positions: Callable[[Any], Any], leaf_values: FloatArray) -> Callable[[Any], Any]:
        """Return a function: what `positions` takes → the margin, summed in the order of the trees."""
        accumulate, divisor, columns = np.add.accumulate, self.divisor, self.columns
        flat = leaf_values[:, 0].copy()

        def total(found: Any) -> Any:
            value = accumulate(flat.take(positions(found))).item(-1)
            return value if divisor is None else value / divisor

        def totals(found: Any) -> Any:
            sums = accumulate(leaf_values.take(positions(found), axis=0).reshape(-1, columns), axis=0)[-1]
            return sums if divisor is None else sums / divisor

        return total if self.scalar else totals
