"""The columns that flow through a plan, each as an expression that knows two ways of being computed.

A cell writes itself into the source of the row function, and computes itself on NumPy columns. Cells that
take few values (an encoded category, a month, a bin) are a `Table` over a `Code`: whatever later steps do
to them is worked out once, on the table, by NumPy itself.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.source import Array, Batch, Cell, Code, Source
from skline.scoring.texts import Texts, each

#: dtypes that scikit-learn reads as numbers.
NUMBERS = ("float64", "int64", "bool", "float32", "int32")


class Input(Cell):
    """A column as the caller gives it."""

    def __init__(self, position: int, dtype: str) -> None:
        self.position = position
        self.dtype = dtype

    @override
    def emit(self, source: Source) -> str:
        given = f"r{self.position}"
        if self.dtype == "float64":
            # A product with 1.0 turns ints and bools into floats and keeps -0.0, which a sum with 0.0 loses.
            return source.assign(f"nan if {given} is None else {given} * 1.0")
        return given

    @override
    def values(self, batch: Batch) -> Any:
        return batch.read(self.position)


class FlagCode(Code):
    """False and True as 0 and 1."""

    size = 2

    def __init__(self, flag: Cell) -> None:
        self.flag = flag

    @override
    def emit(self, source: Source) -> str:
        return source.of(self.flag)

    @override
    def values(self, batch: Batch) -> Any:
        return batch.of(self.flag).astype(np.intp)


class MissingCode(Code):
    """1 where a float is NaN or a string is missing, else 0."""

    size = 2

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @override
    def emit(self, source: Source) -> str:
        value = source.of(self.cell)
        return source.assign(f"{value} is None" if self.cell.dtype == "str" else f"{value} != {value}")

    @override
    def values(self, batch: Batch) -> Any:
        values = batch.of(self.cell)
        if self.cell.dtype == "str":
            return np.asarray(each(values, lambda texts: [value is None for value in texts]), dtype=np.intp)
        return np.isnan(values).astype(np.intp)


class Table(Cell):
    """A number for each value of a code."""

    def __init__(self, code: Code, entries: Array) -> None:
        self.code = code
        self.entries = entries
        self.dtype = entries.dtype.name

    @override
    def emit(self, source: Source) -> str:
        return source.assign(f"{source.constant(tuple(self.entries.tolist()))}[{source.of(self.code)}]")

    @override
    def values(self, batch: Batch) -> Any:
        return self.entries[batch.of(self.code)]


class Elementwise(Cell):
    """A float64 computed from one other number, by the same arithmetic in Python and in NumPy.

    Parameters
    ----------
    cell : Cell
        The float64 it is computed from.
    text : str
        The Python expression; `{x}` is the value, other names stand in `constants`.
    array : callable
        The same on an array of shape (n,); like all that a plan holds, it can be pickled: no closure.
    constants : mapping from name to value
    """

    dtype = "float64"

    def __init__(
        self,
        cell: Cell,
        text: str,
        array: Callable[[Array], Array],
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.cell = cell
        self.text = text
        self.array = array
        self.constants = constants or {}

    @override
    def emit(self, source: Source) -> str:
        names = {name: source.constant(value) for name, value in self.constants.items()}
        return source.assign(self.text.format(x=source.of(self.cell), **names))

    @override
    def values(self, batch: Batch) -> Any:
        return self.array(batch.of(self.cell))


def elementwise(
    cell: Cell, text: str, array: Callable[[Array], Array], constants: Mapping[str, Any] | None = None
) -> Cell:
    """Apply a computation to a float64 cell; on a table it is carried out here and now."""
    if isinstance(cell, Table):
        with np.errstate(all="ignore"):
            return Table(cell.code, array(cell.entries))
    return Elementwise(cell, text, array, constants)


def as_float(cell: Cell) -> Cell:
    """Return the cell as float64; it must be one of NUMBERS."""
    if cell.dtype == "float64":
        return cell
    if isinstance(cell, Table):
        return Table(cell.code, cell.entries.astype(np.float64))
    return Elementwise(cell, "{x} * 1.0", partial(np.asarray, dtype=np.float64))


def filled(cell: Cell, filler: Any) -> Cell:
    """Put `filler` where the cell is missing."""
    if cell.dtype == "str":
        return FilledText(cell, filler)
    return elementwise(
        cell,
        "{f} if {x} != {x} else {x}",
        partial(_fill, filler=filler),
        {"f": filler},
    )


def _fill(values: Array, filler: float) -> Array:
    """Put `filler` in the place of NaN."""
    return np.where(np.isnan(values), filler, values)


class FilledText(Cell):
    """A string, or another one where it is missing."""

    dtype = "str"

    def __init__(self, cell: Cell, filler: str) -> None:
        self.cell = cell
        self.filler = filler

    @override
    def emit(self, source: Source) -> str:
        value, filler = source.of(self.cell), source.constant(self.filler)
        return source.assign(f"{filler} if {value} is None else {value}")

    @override
    def values(self, batch: Batch) -> Any:
        texts = batch.of(self.cell)
        if isinstance(texts, Texts):
            return Texts([self.filler if value is None else value for value in texts.values], texts.codes)
        return [self.filler if value is None else value for value in texts]


def missing_flag(cell: Cell) -> Cell:
    """Whether the cell is missing, as a bool."""
    if isinstance(cell, Table):
        return Table(cell.code, np.isnan(cell.entries))
    if cell.dtype in ("float64", "str"):
        return Table(MissingCode(cell), np.array([False, True]))
    return Table(MissingCode(as_float(cell)), np.array([False, True]))
