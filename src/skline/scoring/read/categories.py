"""Encoders and bins. What each category becomes is not computed here but asked of the fitted step itself."""

import warnings
from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice, repeat
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.answers import NotPlannable, RowRefused
from skline.scoring.cells import Table
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.source import Array, Batch, Cell, Code, Source
from skline.scoring.texts import each

#: A text that is no category of any encoder; checked, and lengthened if need be.
UNSEEN = "\x00unseen"


def read_ordinal_encoder(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """One number for each category."""
    codes, encoded = _encode(reading, step, matrix)
    return Matrix(tuple(_table(code, encoded, i) for i, code in enumerate(codes)), "array")


def read_one_hot_encoder(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """One column for each category that is kept."""
    codes, encoded = _encode(reading, step, matrix)
    if hasattr(encoded, "toarray"):
        encoded = encoded.toarray()
    cells: list[Cell] = []
    for code, width in zip(codes, step._n_features_outs, strict=True):
        first = len(cells)
        cells.extend(_table(code, encoded, first + j) for j in range(width))
    return Matrix(tuple(cells), "sparse" if step.sparse_output else "array")


def read_target_encoder(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """The target's mean in each category; one column a class where there are several classes."""
    codes, encoded = _encode(reading, step, matrix)
    width = encoded.shape[1] // len(codes)
    cells = (_table(codes[j // width], encoded, j) for j in range(encoded.shape[1]))
    return Matrix(tuple(cells), "array")


def read_discretizer(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """The bin's number, or one column for each bin."""
    if step.dtype is not None and np.dtype(step.dtype) != np.float64:
        raise NotPlannable("KBinsDiscretizer(dtype=float32) computes in float32; leave dtype=None")
    if matrix.container == "sparse":
        raise NotPlannable("KBinsDiscretizer is given a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    cells = numbers(matrix, step)
    reading.require(cells, "finite")
    bins = [
        Table(BinCode(cell, edges[1:-1]), np.arange(len(edges) - 1, dtype=np.float64))
        for cell, edges in zip(cells, step.bin_edges_, strict=True)
    ]
    if step.encode == "ordinal":
        return Matrix(tuple(bins), "array")
    out: list[Cell] = []
    for table in bins:
        # OneHotEncoder over range(n_bins), keeping every bin: the identity.
        out.extend(Table(table.code, unit) for unit in np.eye(table.code.size))
    return Matrix(tuple(out), "sparse" if step.encode == "onehot" else "array")


class CategoryCode(Code):
    """The position of a value among the known ones, or the code that stands for all others.

    Parameters
    ----------
    cell : Cell
        Text, or numbers.
    positions : dict
        Known value (None for missing) → code.
    unknown : int or None
        The code of a value that is not among them; None if such a row must be refused.
    """

    def __init__(self, cell: Cell, positions: dict[Any, int], unknown: int | None, refusal: str) -> None:
        self.cell = cell
        self.positions = positions
        self.unknown = unknown
        self.refusal = refusal
        self.size = len(positions) + (unknown is not None)

    @override
    def emit(self, source: Source) -> str:
        value = source.of(self.cell)
        get = source.constant(self.positions.get)
        key = value if self.cell.dtype != "float64" else f"None if {value} != {value} else {value}"
        if self.unknown is not None:
            return source.assign(f"{get}({key}, {source.constant(self.unknown)})")
        code = source.assign(f"{get}({key}, -1)")
        source.lines.append(f"if {code} < 0: {source.constant(self._refuse)}({value})")
        return code

    @override
    def values(self, batch: Batch) -> Any:
        if isinstance(self.cell, Table):
            codes = self.of_entries(self.cell)[batch.of(self.cell.code)]
        else:
            given = batch.of(self.cell)
            codes = each(given if self.cell.dtype == "str" else _keys(given), self._codes)
        if self.unknown is None and np.any(codes < 0):
            self._refuse(next(islice(iter(batch.of(self.cell)), int(np.argmax(codes < 0)), None)))
        return codes

    def of_entries(self, table: Table) -> Array:
        """Codes of a table's entries."""
        return self._codes(_keys(table.entries))

    def _codes(self, keys: Iterable[Any]) -> Array:
        """Codes of some values, -1 for one that must be refused."""
        other = -1 if self.unknown is None else self.unknown
        return np.array(list(map(self.positions.get, keys, repeat(other))), dtype=np.intp)

    def _refuse(self, value: Any) -> None:
        raise RowRefused(f"{self.refusal}: {value!r} was not seen in training, and handle_unknown='error' refuses it")


def _keys(values: Array) -> list[Any]:
    """Numbers as keys of a dict: None for NaN, which equals nothing."""
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124


class BinCode(Code):
    """The number of inner edges that are not above the value."""

    def __init__(self, cell: Cell, inner_edges: Array) -> None:
        self.cell = cell
        self.edges = inner_edges
        self.size = len(inner_edges) + 1

    @override
    def emit(self, source: Source) -> str:
        edges = source.constant(self.edges.tolist())
        return source.assign(f"{source.constant(bisect_right)}({edges}, {source.of(self.cell)})")

    @override
    def values(self, batch: Batch) -> Any:
        return np.searchsorted(self.edges, batch.of(self.cell), side="right")


def _encode(reading: Reading, step: Any, matrix: Matrix) -> tuple[list[CategoryCode], Any]:
    """Give every column a code, and let the fitted encoder transform one row for each code.

    Column i of the frame that it is given runs through the values of code i and then repeats the first:
    an encoder treats each column by itself, so its answer holds a table for each.
    """
    if matrix.container == "sparse":
        raise NotPlannable(f"{type(step).__name__} is given a sparse matrix; encode text, not numbers")
    check_names(matrix, step)
    if matrix.mixed or ("str" in matrix.dtypes and len(matrix.dtypes) > 1 and matrix.container == "array"):
        raise NotPlannable(f"{type(step).__name__} is given an object array of several types; encode them apart")
    reading.require([c for c in matrix.cells if c.dtype == "float64"], "no infinity")
    codes, columns = [], []
    for cell, known in zip(_as_keys(matrix), step.categories_, strict=True):
        values = [None if value is None or value != value else value for value in known.tolist()]  # noqa: PLR0124
        positions = {value: index for index, value in enumerate(values)}
        representatives = list(values)
        unknown = None
        if getattr(step, "handle_unknown", "ignore") != "error":  # TargetEncoder knows but one way
            unknown = len(values)
            representatives.append(_unseen(cell.dtype, values))
        codes.append(CategoryCode(cell, positions, unknown, type(step).__name__))
        columns.append(representatives)
    reading.refusing.extend(code for code in codes if code.unknown is None)
    return codes, _ask(step, matrix, columns)


def _as_keys(matrix: Matrix) -> tuple[Cell, ...]:
    """Cells whose values are found among categories: text, or numbers."""
    for cell in matrix.cells:
        if cell.dtype not in ("str", "float64", "int64", "bool"):
            raise NotPlannable(f"an encoder is given a column of {cell.dtype}; give it text or numbers")
    return matrix.cells


def _unseen(dtype: str, known: list[Any]) -> Any:
    """A value of the dtype that is no category."""
    if dtype == "str":
        longest = max((len(value) for value in known if value is not None), default=0)
        return UNSEEN + "." * longest
    if dtype == "bool":
        return next((flag for flag in (False, True) if flag not in known), known[0])
    return next(number for number in range(len(known) + 1) if number not in known)


def _ask(step: Any, matrix: Matrix, columns: list[list[Any]]) -> Any:
    """Transform the representatives, in the container and the dtypes that the step was fitted on."""
    import pandas as pd

    height = max(len(values) for values in columns)
    series = [
        pd.Series([*values, *values[:1] * (height - len(values))]).astype(
            np.dtype(cell.dtype) if cell.dtype != "str" else "str"
        )
        for values, cell in zip(columns, matrix.cells, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if matrix.container == "frame":
            return step.transform(pd.DataFrame(dict(zip(matrix.names or (), series, strict=True))))
        if matrix.dtypes == {"str"}:
            return step.transform(np.column_stack([column.to_numpy(dtype=object) for column in series]))
        return step.transform(np.column_stack([column.to_numpy() for column in series]))


def _table(code: CategoryCode, encoded: Any, column: int) -> Table:
    """The encoder's answers for one output column: one for each code, or for each code that those are made of."""
    answers: Array = np.array(encoded[: code.size, column])
    if isinstance(code.cell, Table) and code.unknown is not None:
        return Table(code.cell.code, answers[code.of_entries(code.cell)])
    return Table(code, answers)
