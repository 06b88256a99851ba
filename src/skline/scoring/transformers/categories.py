"""Plans of encoders and discretizers. The output for each category is not computed here: the fitted step encodes it."""

import warnings
from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice, repeat
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.expressions import LookupTable
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import RowRejected, UnsupportedStep
from skline.scoring.sklearn_internals import one_hot_widths
from skline.scoring.string_column import map_distinct

#: The start of a string that is not a category of any encoder; it is made longer than every known category.
UNSEEN = "\x00unseen"


def read_ordinal_encoder(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read an OrdinalEncoder: one number for each category."""
    indices, encoded = _encode_categories(checks, step, matrix)
    return Matrix(tuple(_output_table(index, encoded, i) for i, index in enumerate(indices)), "array")


def read_one_hot_encoder(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a OneHotEncoder: one column for each category that it keeps."""
    indices, encoded = _encode_categories(checks, step, matrix)
    if hasattr(encoded, "toarray"):
        encoded = encoded.toarray()
    expressions: list[Expression] = []
    for index, width in zip(indices, one_hot_widths(step), strict=True):
        first = len(expressions)
        expressions.extend(_output_table(index, encoded, first + j) for j in range(width))
    return Matrix(tuple(expressions), "sparse" if step.sparse_output else "array")


def read_target_encoder(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a TargetEncoder: the target's mean in each category; one column a class if there are several classes."""
    indices, encoded = _encode_categories(checks, step, matrix)
    width = encoded.shape[1] // len(indices)
    tables = (_output_table(indices[j // width], encoded, j) for j in range(encoded.shape[1]))
    return Matrix(tuple(tables), "array")


def read_discretizer(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a KBinsDiscretizer: the bin's number, or one column for each bin."""
    if step.dtype is not None and np.dtype(step.dtype) != np.float64:
        raise UnsupportedStep("KBinsDiscretizer(dtype=float32) computes in float32; leave dtype=None")
    if matrix.container == "sparse":
        raise UnsupportedStep("KBinsDiscretizer gets a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    expressions = as_floats(matrix, step)
    checks.require(expressions, "finite")
    bins = [
        LookupTable(BinIndex(expression, edges[1:-1]), np.arange(len(edges) - 1, dtype=np.float64))
        for expression, edges in zip(expressions, step.bin_edges_, strict=True)
    ]
    if step.encode == "ordinal":
        return Matrix(tuple(bins), "array")
    columns: list[Expression] = []
    for table in bins:
        # OneHotEncoder over range(n_bins) keeps every bin, so its output is the identity matrix.
        columns.extend(LookupTable(table.index, unit) for unit in np.eye(table.index.size))
    return Matrix(tuple(columns), "sparse" if step.encode == "onehot" else "array")


class CategoryIndex(TableIndex):
    """The position of a value among the known categories, or the position that stands for all others.

    Parameters
    ----------
    expression : Expression
        Strings or numbers.
    positions : dict
        Known category (None for missing) to position.
    unknown_position : int or None
        The position of a value that is not a known category; None if such a row must be rejected.
    step_name : str
        The encoder's class, for the message of a rejection.
    """

    def __init__(
        self, expression: Expression, positions: dict[Any, int], unknown_position: int | None, step_name: str
    ) -> None:
        self.expression = expression
        self.positions = positions
        self.unknown_position = unknown_position
        self.step_name = step_name
        self.size = len(positions) + (unknown_position is not None)

    @override
    def emit(self, writer: CodeWriter) -> str:
        value = writer.emit(self.expression)
        get = writer.constant(self.positions.get)
        key = value if self.expression.dtype != "float64" else f"None if {value} != {value} else {value}"
        if self.unknown_position is not None:
            return writer.assign(f"{get}({key}, {writer.constant(self.unknown_position)})")
        position = writer.assign(f"{get}({key}, -1)")
        writer.lines.append(f"if {position} < 0: {writer.constant(self._reject)}({value})")
        return position

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        if isinstance(self.expression, LookupTable):
            positions = self.positions_of_entries(self.expression)[batch.evaluate(self.expression.index)]
        else:
            values = batch.evaluate(self.expression)
            keys = values if self.expression.dtype == "str" else _to_keys(values)
            positions = map_distinct(keys, self._positions_of)
        if self.unknown_position is None and np.any(positions < 0):
            first_unknown = int(np.argmax(positions < 0))
            self._reject(next(islice(iter(batch.evaluate(self.expression)), first_unknown, None)))
        return positions

    def positions_of_entries(self, table: LookupTable) -> Array:
        """Return the positions of a lookup table's entries."""
        return self._positions_of(_to_keys(table.entries))

    def _positions_of(self, keys: Iterable[Any]) -> Array:
        """Return the positions of some values, -1 for one that must be rejected."""
        default = -1 if self.unknown_position is None else self.unknown_position
        return np.array(list(map(self.positions.get, keys, repeat(default))), dtype=np.intp)

    def _reject(self, value: Any) -> None:
        raise RowRejected(
            f"{self.step_name}: {value!r} was not seen in training, and handle_unknown='error' rejects it"
        )


def _to_keys(values: Array) -> list[Any]:
    """Convert numbers to keys of a dict: None for NaN, which equals nothing."""
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124


class BinIndex(TableIndex):
    """The number of inner edges that are at most the value."""

    def __init__(self, expression: Expression, inner_edges: Array) -> None:
        self.expression = expression
        self.edges = inner_edges
        self.size = len(inner_edges) + 1

    @override
    def emit(self, writer: CodeWriter) -> str:
        edges = writer.constant(self.edges.tolist())
        return writer.assign(f"{writer.constant(bisect_right)}({edges}, {writer.emit(self.expression)})")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return np.searchsorted(self.edges, batch.evaluate(self.expression), side="right")


def _encode_categories(checks: RowChecks, step: Any, matrix: Matrix) -> tuple[list[CategoryIndex], Any]:
    """Index the categories of every column, and let the fitted encoder transform one row for each category.

    Column i of the frame that the encoder gets contains the categories of index i, and then repeats the first one: an
    encoder treats each column independently, so its output contains a table for each.
    """
    if matrix.container == "sparse":
        raise UnsupportedStep(f"{type(step).__name__} gets a sparse matrix; encode strings, not numbers")
    check_names(matrix, step)
    if matrix.is_mixed or ("str" in matrix.dtypes and len(matrix.dtypes) > 1 and matrix.container == "array"):
        raise UnsupportedStep(f"{type(step).__name__} gets an object array of several types; encode them separately")
    checks.require([e for e in matrix.expressions if e.dtype == "float64"], "no infinity")
    indices, columns = [], []
    for expression, known in zip(_keyed_expressions(matrix), step.categories_, strict=True):
        categories = [None if value is None or value != value else value for value in known.tolist()]  # noqa: PLR0124
        positions = {category: index for index, category in enumerate(categories)}
        representatives = list(categories)
        unknown_position = None
        # TargetEncoder has no handle_unknown: it always ignores unknown categories.
        if getattr(step, "handle_unknown", "ignore") != "error":
            unknown_position = len(categories)
            representatives.append(_unknown_value(expression.dtype, categories))
        indices.append(CategoryIndex(expression, positions, unknown_position, type(step).__name__))
        columns.append(representatives)
    checks.rejecting_indices.extend(index for index in indices if index.unknown_position is None)
    return indices, _transform(step, matrix, columns)


def _keyed_expressions(matrix: Matrix) -> tuple[Expression, ...]:
    """Return the expressions, whose values must be comparable with categories: strings or numbers."""
    for expression in matrix.expressions:
        if expression.dtype not in ("str", "float64", "int64", "bool"):
            raise UnsupportedStep(f"an encoder gets a column of {expression.dtype}; give it strings or numbers")
    return matrix.expressions


def _unknown_value(dtype: str, known: list[Any]) -> Any:
    """Return a value of the dtype that is not a known category."""
    if dtype == "str":
        longest = max((len(value) for value in known if value is not None), default=0)
        return UNSEEN + "." * longest
    if dtype == "bool":
        return next((flag for flag in (False, True) if flag not in known), known[0])
    return next(number for number in range(len(known) + 1) if number not in known)


def _transform(step: Any, matrix: Matrix, columns: list[list[Any]]) -> Any:
    """Transform columns of values, in the container and the dtypes on which the step was fitted."""
    import pandas as pd

    height = max(len(values) for values in columns)
    series = [
        pd.Series([*values, *values[:1] * (height - len(values))]).astype(
            np.dtype(expression.dtype) if expression.dtype != "str" else "str"
        )
        for values, expression in zip(columns, matrix.expressions, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if matrix.container == "frame":
            return step.transform(pd.DataFrame(dict(zip(matrix.names or (), series, strict=True))))
        if matrix.dtypes == {"str"}:
            return step.transform(np.column_stack([column.to_numpy(dtype=object) for column in series]))
        return step.transform(np.column_stack([column.to_numpy() for column in series]))


def _output_table(index: CategoryIndex, encoded: Any, column: int) -> LookupTable:
    """Return one output column of the encoder as a table over the index, or over the index of the table it encodes."""
    outputs: Array = np.array(encoded[: index.size, column])
    if isinstance(index.expression, LookupTable) and index.unknown_position is not None:
        return LookupTable(index.expression.index, outputs[index.positions_of_entries(index.expression)])
    return LookupTable(index, outputs)
