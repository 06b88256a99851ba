"""Lookup tables that find the leaves which a row reaches in all trees of an ensemble at once, by one lookup a column.

A table has one word for each tree: for each interval between its column's thresholds, or for each entry of the index
with which the column is looked up. One operation joins the words of all columns. That takes one lookup and one
operation a column, independent of the number and depth of the trees: on large Python integers for one row, on arrays
for a batch.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.estimators.trees import Tree
from skline.scoring.expressions import LookupTable
from skline.scoring.scores import FloatArray

#: Bytes that all lookup tables of an ensemble may take.
MAX_TABLE_BYTES = 64 * 2**20

Positions = npt.NDArray[np.integer[Any]]


def tables_fit(trees: Sequence[Tree], expressions: Sequence[Expression], word_bytes: int) -> bool:
    """Return whether the lookup tables take no more than MAX_TABLE_BYTES."""
    splits = {(f, t) for tree in trees for f, t in zip(tree.feature, tree.threshold, strict=True) if f >= 0}
    entries = sum(not isinstance(expressions[feature], LookupTable) for feature, _ in splits)
    indices = {id(e.index): e.index for e in expressions if isinstance(e, LookupTable)}
    entries += sum(index.size for index in indices.values())
    # The factor 2: as integers for one row, and as words for batches.
    return 2 * (entries + 2 * len(expressions)) * len(trees) * word_bytes <= MAX_TABLE_BYTES


@dataclass(frozen=True)
class ColumnTable:
    """The words of one column.

    Attributes
    ----------
    column : Expression or TableIndex
    thresholds : ndarray of shape (n,), or None
        In ascending order; None for an index.
    words : ndarray of unsigned integers, shape (entries, trees)
        With thresholds n + 2 entries: the last one is for missing values.
    """

    column: Expression | TableIndex
    thresholds: FloatArray | None
    words: Array


class ColumnTables(ABC):
    """The tables of an ensemble.

    Parameters
    ----------
    tables : sequence of ColumnTable
    start : ndarray of unsigned integers, shape (trees,)
        The words where there is no table.
    leaf_values : ndarray of shape (leaves, k)
        The values of the leaves of all trees, in the dtype of the trees' values.
    """

    #: The operation that joins words, as Python writes it and as NumPy's function.
    operator: ClassVar[str]
    join: ClassVar[Callable[..., Array]]

    def __init__(self, tables: Sequence[ColumnTable], start: Array, leaf_values: Array) -> None:
        self.tables = tables
        self.leaf_values = leaf_values
        self._start = start

    @abstractmethod
    def positions(self, words: Array) -> Positions:
        """Convert the words of all columns, joined, to positions in `leaf_values`; shape (…, trees)."""

    def emit(self, writer: CodeWriter) -> str:
        """Write the lookups of one row, and return the name that holds its positions in `leaf_values`, (trees,)."""
        terms = []
        for table in self.tables:
            value = writer.emit(table.column)
            words = [_to_integer(entry) for entry in table.words]
            if table.thresholds is None:
                terms.append(f"{writer.constant(words)}[{value}]")
                continue
            interval = f"{writer.constant(bisect_left)}({writer.constant(table.thresholds.tolist())}, {value})"
            missing = writer.constant(words[-1])
            terms.append(f"({missing} if {value} != {value} else {writer.constant(words)}[{interval}])")
        joined = f" {self.operator} ".join(terms) or writer.constant(_to_integer(self._start))
        content = f'({joined}).to_bytes({self._start.nbytes}, "little")'
        source = f"{writer.constant(np.frombuffer)}({content}, {writer.constant(self._start.dtype)})"
        return writer.assign(self.positions_source(writer, source))

    @abstractmethod
    def positions_source(self, writer: CodeWriter, words: str) -> str:
        """Return the source of `positions` for the source of its argument."""

    def batch_positions(self, batch: BatchContext, rows: slice) -> Positions:
        """Return positions in `leaf_values` for some rows of a batch, shape (rows, trees)."""
        # All entries are within their tables; mode="clip" spares NumPy the bounds check, half of the time.
        joined: Array | None = None
        for table in self.tables:
            values = batch.evaluate(table.column)[rows]
            entries = values
            if table.thresholds is not None:
                entries = np.searchsorted(table.thresholds, values, side="left")
                entries[np.isnan(values)] = len(table.words) - 1
            words = table.words.take(entries, axis=0, mode="clip")
            joined = words if joined is None else type(self).join(joined, words, out=joined)
        if joined is None:
            joined = np.repeat(self._start[np.newaxis], len(range(*rows.indices(batch.size))), axis=0)
        return self.positions(joined)


def _to_integer(words: Array) -> int:
    return int.from_bytes(words.tobytes(), "little")
