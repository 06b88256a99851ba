"""The expressions of which plans are built: inputs, lookup tables and element-wise arithmetic.

Each expression writes itself into the source of the row function, and computes itself on NumPy columns. A column that
takes few values (an encoded category, a month, a bin) is a `LookupTable` over a `TableIndex`: what later steps compute
from it is computed once, on the table, by NumPy itself.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from typing_extensions import override

from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.string_column import StringColumn, map_distinct

#: dtypes that scikit-learn treats as numbers.
NUMERIC_DTYPES = ("float64", "int64", "bool", "float32", "int32")


class InputColumn(Expression):
    """A column of the request."""

    def __init__(self, position: int, dtype: str) -> None:
        self.position = position
        self.dtype = dtype

    @override
    def emit(self, writer: CodeWriter) -> str:
        value = f"r{self.position}"
        if self.dtype == "float64":
            # A product with 1.0 turns ints and bools into floats and keeps -0.0, which a sum with 0.0 loses.
            # It replaces the value: half as many variables, which the code of many columns reads faster.
            writer.lines.append(f"{value} = nan if {value} is None else {value} * 1.0")
        return value

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return batch.read(self.position)


class FlagIndex(TableIndex):
    """False and True as 0 and 1."""

    size = 2

    def __init__(self, flag: Expression) -> None:
        self.flag = flag

    @override
    def emit(self, writer: CodeWriter) -> str:
        return writer.emit(self.flag)

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return batch.evaluate(self.flag).astype(np.intp)


class MissingIndex(TableIndex):
    """1 where a float is NaN or a string is missing, else 0."""

    size = 2

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    @override
    def emit(self, writer: CodeWriter) -> str:
        value = writer.emit(self.expression)
        return writer.assign(f"{value} is None" if self.expression.dtype == "str" else f"{value} != {value}")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        values = batch.evaluate(self.expression)
        if self.expression.dtype == "str":
            is_missing = map_distinct(values, lambda strings: [value is None for value in strings])
            return np.asarray(is_missing, dtype=np.intp)
        return np.isnan(values).astype(np.intp)


class LookupTable(Expression):
    """One number for each value of an index."""

    def __init__(self, index: TableIndex, entries: Array) -> None:
        self.index = index
        self.entries = entries
        self.dtype = entries.dtype.name

    @override
    def emit(self, writer: CodeWriter) -> str:
        return writer.assign(f"{writer.constant(tuple(self.entries.tolist()))}[{writer.emit(self.index)}]")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return self.entries[batch.evaluate(self.index)]


class Elementwise(Expression):
    """A float64 computed from another number, by the same arithmetic in Python and in NumPy.

    Parameters
    ----------
    argument : Expression
        The float64 it is computed from.
    source : str
        The Python expression; `{x}` is the value, other names refer to `constants`.
    array_function : callable
        The same computation on an array of shape (n,). Plans are pickled, so it must not be a closure.
    constants : mapping from name to value
    """

    dtype = "float64"

    def __init__(
        self,
        argument: Expression,
        source: str,
        array_function: Callable[[Array], Array],
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.argument = argument
        self.source = source
        self.array_function = array_function
        self.constants = constants or {}

    @override
    def emit(self, writer: CodeWriter) -> str:
        names = {name: writer.constant(value) for name, value in self.constants.items()}
        return writer.assign(self.source.format(x=writer.emit(self.argument), **names))

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return self.array_function(batch.evaluate(self.argument))


def elementwise(
    argument: Expression,
    source: str,
    array_function: Callable[[Array], Array],
    constants: Mapping[str, Any] | None = None,
) -> Expression:
    """Apply a computation to a float64 expression (see Elementwise); for a table, compute the new table now."""
    if isinstance(argument, LookupTable):
        with np.errstate(all="ignore"):
            return LookupTable(argument.index, array_function(argument.entries))
    return Elementwise(argument, source, array_function, constants)


def as_float(expression: Expression) -> Expression:
    """Convert an expression, whose dtype must be one of NUMERIC_DTYPES, to float64."""
    if expression.dtype == "float64":
        return expression
    if isinstance(expression, LookupTable):
        return LookupTable(expression.index, expression.entries.astype(np.float64))
    return Elementwise(expression, "{x} * 1.0", partial(np.asarray, dtype=np.float64))


def fill_missing(expression: Expression, fill_value: Any) -> Expression:
    """Replace missing values by `fill_value`."""
    if expression.dtype == "str":
        return FilledString(expression, fill_value)
    return elementwise(
        expression, "{f} if {x} != {x} else {x}", partial(_fill_nan, fill_value=fill_value), {"f": fill_value}
    )


def _fill_nan(values: Array, fill_value: float) -> Array:
    return np.where(np.isnan(values), fill_value, values)


class FilledString(Expression):
    """A string, or `fill_value` where it is missing."""

    dtype = "str"

    def __init__(self, expression: Expression, fill_value: str) -> None:
        self.expression = expression
        self.fill_value = fill_value

    @override
    def emit(self, writer: CodeWriter) -> str:
        value, fill_value = writer.emit(self.expression), writer.constant(self.fill_value)
        return writer.assign(f"{fill_value} if {value} is None else {value}")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        strings = batch.evaluate(self.expression)
        if isinstance(strings, StringColumn):
            filled: list[str | None] = [self.fill_value if value is None else value for value in strings.values]
            return StringColumn(filled, strings.codes)
        return [self.fill_value if value is None else value for value in strings]


def is_missing(expression: Expression) -> Expression:
    """Return an expression of dtype bool: whether the value is missing."""
    if isinstance(expression, LookupTable):
        return LookupTable(expression.index, np.isnan(expression.entries))
    if expression.dtype in ("float64", "str"):
        return LookupTable(MissingIndex(expression), np.array([False, True]))
    return LookupTable(MissingIndex(as_float(expression)), np.array([False, True]))
