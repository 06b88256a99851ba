"""The two ways to compute an expression: as Python source for one row, or on the NumPy columns of a batch."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class CodeWriter:
    """Writes the source of the row function, and collects the constants it refers to.

    The source contains only generated names, operators and floats. All other values, including every string that came
    from data, go into the namespace. That is what makes executing the source safe.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {"nan": float("nan"), "inf": float("inf")}
        self._names: dict[int, str] = {}

    def constant(self, value: Any) -> str:
        """Add a value to the namespace, and return its name."""
        name = f"k{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def assign(self, source: str) -> str:
        """Write an assignment, and return the name of its variable."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {source}")
        return name

    def emit(self, expression: "Emitter") -> str:
        """Return the name that holds the expression's value; the first call writes the code that computes it."""
        if id(expression) not in self._names:
            self._names[id(expression)] = expression.emit(self)
        return self._names[id(expression)]


class BatchContext:
    """The NumPy columns of n rows, and the values computed from them.

    Parameters
    ----------
    read : callable
        Returns the storage array of the input at a position. A column of strings is a StringColumn, or a list with
        None where missing.
    size : int
        Number of rows.
    computed : dict from an expression's id to its values, optional
        Values that are known already.
    """

    def __init__(self, read: Callable[[int], Any], size: int, computed: dict[int, Any] | None = None) -> None:
        self.read = read
        self.size = size
        self._computed: dict[int, Any] = {} if computed is None else computed

    def evaluate(self, expression: "Evaluator") -> Any:
        """Return the expression's values, shape (n,); the first call computes them."""
        if id(expression) not in self._computed:
            self._computed[id(expression)] = expression.evaluate(self)
        return self._computed[id(expression)]

    def matrix(self, expressions: Sequence["Expression"]) -> npt.NDArray[np.float64]:
        """Return expressions side by side: C-ordered float64 of shape (n, number of expressions)."""
        out = np.empty((self.size, len(expressions)))
        for index, expression in enumerate(expressions):
            out[:, index] = self.evaluate(expression)
        return out


class Emitter(Protocol):
    """Writes the code that computes its value for one row."""

    def emit(self, writer: CodeWriter) -> str:
        """Write the code, and return the name that holds the value."""
        ...


class Evaluator(Protocol):
    """Computes its values for a batch."""

    def evaluate(self, batch: BatchContext) -> Any:
        """Return an array of shape (n,)."""
        ...


class Expression(Emitter, Evaluator, Protocol):
    """The values of one column.

    `dtype` is the name of the dtype that scikit-learn would see: one of NUMERIC_DTYPES, "str" or "datetime64[us]".
    """

    dtype: str


class TableIndex(Emitter, Evaluator, Protocol):
    """An integer from 0 to `size` - 1 with which tables are looked up."""

    size: int
