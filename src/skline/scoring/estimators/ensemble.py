"""The margin of a tree ensemble: the values of the leaves that a row reaches, added in the order of the trees.

Lookup tables find the leaves where the trees are small enough; for one row, compiled branches do where the columns are
many. Larger trees are walked for one row, and for a batch the estimator's own prediction function is called.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression
from skline.scoring.estimators.base import Margin
from skline.scoring.estimators.branches import branches_are_faster, can_compile, emit_branch_sum, emit_branches
from skline.scoring.estimators.leaf_lookup import build_leaf_lookup
from skline.scoring.estimators.symmetric_lookup import build_symmetric_lookup
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
        self.lookup = build_symmetric_lookup(trees, expressions) or build_leaf_lookup(trees, expressions)
        self.has_branches = can_compile(trees) and (
            self.lookup is None or branches_are_faster(trees, len(self.lookup.tables))
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the estimator's kernel and the trees where lookup tables replace them."""
        if self.lookup is None:
            return self.__dict__
        return self.__dict__ | {"kernel": None} | ({} if self.has_branches else {"trees": ()})

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        if self.lookup is None:
            return self.kernel(batch.matrix(self.expressions))
        values = self.lookup.leaf_values
        sums = np.empty((batch.size, self.n_columns), dtype=values.dtype, order=self.order)
        for start in range(0, batch.size, CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            positions = self.lookup.batch_positions(batch, rows)
            terms = values.take(positions.T, axis=0, mode="clip")
            terms = terms.reshape(-1, self.n_columns // values.shape[1], *terms.shape[1:])
            sums[rows] = np.moveaxis(add_in_order(terms), 0, 1).reshape(-1, self.n_columns)
        if self.divisor is not None:
            sums /= self.divisor
        return sums[:, 0] if self.is_scalar else sums

    @override
    def emit(self, writer: CodeWriter) -> str:
        if self.has_branches and self.is_scalar and self.trees[0].values.dtype == np.float64:
            total = emit_branch_sum(writer, self.trees, self.expressions)
            return total if self.divisor is None else writer.assign(f"{total} / {writer.constant(self.divisor)}")
        if self.has_branches:
            return self._emit_sum(writer, *emit_branches(writer, self.trees, self.expressions))
        if self.lookup is not None:
            return self._emit_sum(writer, self.lookup.emit(writer), self.lookup.leaf_values)
        if sum(len(tree.feature) for tree in self.trees) <= MAX_WALKED_NODES:
            return self._emit_sum(writer, *emit_walk(writer, self.trees, self.expressions))
        names = ", ".join(writer.emit(expression) for expression in self.expressions)
        return writer.assign(f"{writer.constant(self._predict_one_row)}(({names},))")

    def _predict_one_row(self, row: tuple[float, ...]) -> Any:
        """Predict one row by the estimator's own function."""
        margin = self.kernel(np.array([row]))[0]
        return margin.item() if self.is_scalar else margin

    def _emit_sum(self, writer: CodeWriter, positions: str, leaf_values: Array) -> str:
        """Write the sum of one row's leaves, and return the name that holds the margin.

        Parameters
        ----------
        writer : CodeWriter
        positions : str
            Name of an array or list of positions in `leaf_values`, one a tree.
        leaf_values : ndarray of shape (leaves, k)
        """
        accumulate = writer.constant(np.add.accumulate)
        if self.is_scalar:
            values = writer.constant(leaf_values[:, 0].copy())
            total = f"{accumulate}({values}.take({positions})).item(-1)"
        else:
            values = writer.constant(leaf_values)
            terms = f"{values}.take({positions}, axis=0).reshape(-1, {self.n_columns})"
            total = f"{accumulate}({terms}, axis=0)[-1]"
        return writer.assign(total if self.divisor is None else f"{total} / {writer.constant(self.divisor)}")


def add_in_order(terms: Array) -> Array:
    """Add along the first axis, one after the other: in another order the last bits differ.

    NumPy reduces the first of several axes in this order, many sums at a time. Where there is a single sum, it would
    add in pairs.
    """
    is_single_sum = terms[0].size == 1
    # Without `initial` a sum of -0.0 would be 0.0.
    sums: Array = np.add.accumulate(terms)[-1] if is_single_sum else np.add.reduce(terms, initial=None)
    return sums
