"""The two ways in which an expression is computed: as source of the row function, or on a batch's columns."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Source:
    """The source of the row function while it is written, and the constants it refers to.

    Only names made here ever stand in the source; values, and with them every text that came from data,
    go into the namespace. That is what makes executing it safe.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {"nan": float("nan"), "inf": float("inf")}
        self._written: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        """Name a value that the source may use."""
        name = f"k{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def assign(self, expression: str) -> str:
        """Write one assignment, and return the name that holds its value."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def of(self, cell: "Emitter") -> str:
        """Return the name that holds the cell's value, writing what computes it at the first call."""
        if id(cell) not in self._written:
            self._written[id(cell)] = cell.emit(self)
        return self._written[id(cell)]


class Batch:
    """n rows as NumPy columns, and what has been computed from them.

    Parameters
    ----------
    read : callable
        Returns the storage array (for strings Texts, or a list with None where missing) of the input at a position.
    size : int
        Number of rows.
    """

    def __init__(self, read: Callable[[int], Any], size: int) -> None:
        self.read = read
        self.size = size
        self._computed: dict[int, Any] = {}

    def of(self, cell: "Evaluator") -> Any:
        """Return the cell's values, shape (n,), computing them at the first call."""
        if id(cell) not in self._computed:
            self._computed[id(cell)] = cell.values(self)
        return self._computed[id(cell)]

    def matrix(self, cells: Sequence["Cell"]) -> npt.NDArray[np.float64]:
        """Cells side by side: C-ordered float64 of shape (n, number of cells)."""
        out = np.empty((self.size, len(cells)))
        for index, cell in enumerate(cells):
            out[:, index] = self.of(cell)
        return out


class Emitter(Protocol):
    """What writes itself into the row function."""

    def emit(self, source: Source) -> str:
        """Write what computes the value for one row, and return the name that holds it."""
        ...


class Evaluator(Protocol):
    """What computes itself for a batch."""

    def values(self, batch: Batch) -> Any:
        """Compute the values for a batch: an array of shape (n,)."""
        ...


class Cell(Emitter, Evaluator, Protocol):
    """One column, as an expression.

    `dtype` is the name of the dtype that scikit-learn would see: one of NUMBERS, "str" or "datetime64[us]".
    """

    dtype: str


class Code(Emitter, Evaluator, Protocol):
    """A whole number from 0 to `size` - 1, to look tables up with."""

    size: int
