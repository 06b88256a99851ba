"""The margin of a tree ensemble: the values of the leaves that a row reaches, added in the order of the trees.

Lookup tables find the leaves where the trees are small enough. Larger trees are walked for one row, and for a batch the
estimator's own prediction function is called.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression
from skline.scoring.estimators.base import Margin
from skline.scoring.estimators.leaf_lookup import build_leaf_lookup
from skline.scoring.estimators.trees import Tree
from skline.scoring.estimators.walk import emit_walk
from skline.scoring.scores import Exactness, FloatArray

#: Nodes above which one row, too, is predicted by the estimator's own function.
MAX_WALKED_NODES = 500_000
#: Rows that are looked up at a time: few enough to stay in the CPU cache.
CHUNK_ROWS = 256


class TreeSum(Margin):
    """Leaf values added in the order of the trees, starting with the first tree's.

    Parameters
    ----------
    trees : sequence of Tree
        Their values have k columns; their dtype, float64 or float32, is that of the sums.
    expressions : sequence of Expression
        float64 expressions, by feature.
    kernel : callable
        The estimator's own prediction function: float64 of shape (n, features) to margins.
    width : int
        Number of sums: for k = 1, trees 0, `width`, 2 `width` … are added to the first of them.
    divisor : float or None
        The number by which the sums are divided.
    is_scalar : bool
        Whether the margin of one row is a float rather than an array.
    order : {"C", "F"}
        Memory layout of the estimator's margins, on which the last bits of a softmax depend.
    exactness : {"bits", "ulp"}
    """

    def __init__(
        self,
        trees: Sequence[Tree],
        expressions: Sequence[Expression],
        kernel: Callable[[FloatArray], Array],
        *,
        width: int = 1,
        divisor: float | None = None,
        is_scalar: bool = True,
        order: Literal["C", "F"] = "C",
        exactness: Exactness = "bits",
    ) -> None:
        self.trees = trees
        self.expressions = expressions
        self.kernel = kernel
        self.n_columns = max(width, trees[0].values.shape[1])
        self.divisor = divisor
        self.is_scalar = is_scalar
        self.order: Literal["C", "F"] = order
        self.exactness: Exactness = exactness
        self.lookup = build_leaf_lookup(trees, expressions)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the trees and the estimator's kernel where lookup tables replace them."""
        return self.__dict__ | ({} if self.lookup is None else {"trees": (), "kernel": None})

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        if self.lookup is None:
            return self.kernel(batch.matrix(self.expressions))
        values = self.lookup.leaf_values
        sums = np.empty((batch.size, self.n_columns), dtype=values.dtype, order=self.order)
        for start in range(0, batch.size, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            positions = self.lookup.batch_positions(batch, rows)
            terms = values.take(positions, axis=0, mode="clip")
            terms = terms.reshape(len(positions), -1, self.n_columns)
            sums[rows] = np.add.accumulate(terms, axis=1)[:, -1]
        if self.divisor is not None:
            sums /= self.divisor
        return sums[:, 0] if self.is_scalar else sums

    @override
    def emit(self, writer: CodeWriter) -> str:
        if self.lookup is not None:
            sum_leaves = writer.constant(self._leaf_sum(self.lookup.row_positions, self.lookup.leaf_values))
            return writer.assign(f"{sum_leaves}({self.lookup.emit(writer)})")
        if sum(len(tree.feature) for tree in self.trees) <= MAX_WALKED_NODES:
            positions, values = emit_walk(writer, self.trees, self.expressions)
            return writer.assign(f"{writer.constant(self._leaf_sum(np.array, values))}({positions})")
        names = ", ".join(writer.emit(expression) for expression in self.expressions)
        return writer.assign(f"{writer.constant(self._predict_one_row)}(({names},))")

    def _predict_one_row(self, row: tuple[float, ...]) -> Any:
        """Predict one row by the estimator's own function."""
        margin = self.kernel(np.array([row]))[0]
        return margin.item() if self.is_scalar else margin

    def _leaf_sum(self, to_positions: Callable[[Any], Any], leaf_values: Array) -> Callable[[Any], Any]:
        """Return a function that maps the argument of `to_positions` to the margin."""
        accumulate, divisor, n_columns = np.add.accumulate, self.divisor, self.n_columns
        first_column = leaf_values[:, 0].copy()

        def scalar_sum(reached: Any) -> Any:
            total = accumulate(first_column.take(to_positions(reached))).item(-1)
            return total if divisor is None else total / divisor

        def array_sum(reached: Any) -> Any:
            sums = accumulate(leaf_values.take(to_positions(reached), axis=0).reshape(-1, n_columns), axis=0)[-1]
            return sums if divisor is None else sums / divisor

        return scalar_sum if self.is_scalar else array_sum
