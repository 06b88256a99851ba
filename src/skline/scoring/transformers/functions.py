"""Plans of TimeFeatures, and of FunctionTransformer with functions that compute a row's values from that row alone."""

import datetime as dt
from functools import partial
from typing import Any

import numpy as np
from typing_extensions import override

from skline.features.arithmetic import difference, divide, ratio
from skline.features.time import CYCLES, encode_part, minutes_of_day, time_part
from skline.scoring.code_writer import Array, BatchContext, CodeWriter, Expression, TableIndex
from skline.scoring.datetimes import EPOCH_ORDINAL
from skline.scoring.expressions import LookupTable, elementwise
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep

#: NumPy functions that give one value the same bits as they give it in an array.
UFUNCS = (np.sqrt, np.log1p, np.log, np.exp, np.expm1, np.abs, np.log2, np.log10)


def read_function_transformer(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a FunctionTransformer whose `func` is one of skline.features, one of UFUNCS or None."""
    if step.kw_args:
        raise UnsupportedStep(f"plans do not support FunctionTransformer(kw_args={step.kw_args})")
    if step.validate:
        check_names(matrix, step)
        checks.require(as_floats(matrix, step), "finite")
        matrix = Matrix(as_floats(matrix, step), "array")
    func = step.func
    if func is None:
        return matrix
    if matrix.container == "sparse":
        raise UnsupportedStep("FunctionTransformer gets a sparse matrix; set sparse_threshold=0 before it")
    if func is minutes_of_day:
        return Matrix(tuple(map(_minutes_of_day, as_floats(matrix, step, allow_float32=True))), "array")
    if func is ratio or func is difference:
        return Matrix((_pair(as_floats(matrix, step, allow_float32=True), func, step),), "array")
    matches = [ufunc for ufunc in UFUNCS if func is ufunc]
    if not matches or not matrix.dtypes <= {"float64"}:
        raise UnsupportedStep(
            f"FunctionTransformer applies {getattr(func, '__name__', func)!r} to columns of {sorted(matrix.dtypes)}; "
            "plans support ratio, difference and minutes_of_day of skline.features, and on columns that the contract "
            f"declares as float NumPy's {', '.join(ufunc.__name__ for ufunc in UFUNCS)}"
        )
    expressions = tuple(_apply_ufunc(expression, matches[0]) for expression in matrix.expressions)
    return Matrix(expressions, matrix.container, matrix.names)


def _apply_ufunc(expression: Expression, ufunc: Any) -> Expression:
    """Apply the ufunc itself to one value: its loops differ from the C library's functions in the last bits."""
    return elementwise(expression, "{f}({x})", ufunc, {"f": partial(_call_ufunc, ufunc=ufunc)})


def _call_ufunc(value: float, ufunc: Any) -> float:
    """Apply the ufunc to one float, without warnings."""
    with np.errstate(all="ignore"):
        result: float = ufunc(value).item()
    return result


def _minutes_of_day(expression: Expression) -> Expression:
    """Convert hhmm to minutes since midnight."""
    if isinstance(expression, LookupTable):
        with np.errstate(all="ignore"):
            return LookupTable(expression.index, minutes_of_day(expression.entries))
    return MinutesOfDay(expression)


class MinutesOfDay(Expression):
    """Minutes since midnight from hhmm, with the operations of `minutes_of_day` in their order."""

    dtype = "float64"

    def __init__(self, hhmm: Expression) -> None:
        self.hhmm = hhmm

    @override
    def emit(self, writer: CodeWriter) -> str:
        hhmm = writer.emit(self.hhmm)
        hours = writer.assign(f"({hhmm} / 100.0) // 1.0")
        return writer.assign(f"{hours} * 60.0 + ({hhmm} - {hours} * 100.0)")

    @override
    def evaluate(self, batch: BatchContext) -> Array:
        return minutes_of_day(batch.evaluate(self.hhmm))


def _pair(columns: tuple[Expression, ...], func: Any, step: Any) -> Expression:
    """Return the ratio or the difference of two columns."""
    if len(columns) != 2:
        raise UnsupportedStep(f"{type(step).__name__}({func.__name__}) takes two columns, and gets {len(columns)}")
    return Ratio(*columns) if func is ratio else Difference(*columns)


class Ratio(Expression):
    """A float64 divided by another one; NaN where that is 0."""

    dtype = "float64"

    def __init__(self, first: Expression, second: Expression) -> None:
        self.first, self.second = first, second

    @override
    def emit(self, writer: CodeWriter) -> str:
        first, second = writer.emit(self.first), writer.emit(self.second)
        return writer.assign(f"nan if {second} == 0.0 else {first} / {second}")

    @override
    def evaluate(self, batch: BatchContext) -> Array:
        return divide(batch.evaluate(self.first), batch.evaluate(self.second))


class Difference(Expression):
    """A float64 less another one."""

    dtype = "float64"

    def __init__(self, first: Expression, second: Expression) -> None:
        self.first, self.second = first, second

    @override
    def emit(self, writer: CodeWriter) -> str:
        return writer.assign(f"{writer.emit(self.first)} - {writer.emit(self.second)}")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        return batch.evaluate(self.first) - batch.evaluate(self.second)


def read_time_features(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:  # noqa: ARG001
    """Read TimeFeatures: each part of each datetime, encoded."""
    check_names(matrix, step)
    if matrix.dtypes != {"datetime64[us]"}:
        raise UnsupportedStep(f"TimeFeatures gets columns of {sorted(matrix.dtypes)}; give it dates and datetimes")
    expressions: list[Expression] = []
    for expression in matrix.expressions:
        for part in step.parts:
            if part in CYCLES:
                first, length = CYCLES[part]
                values = np.append(np.arange(first, first + length, dtype=np.float64), np.nan)
                index = CycleIndex(expression, part)
                expressions.extend(LookupTable(index, entries) for entries in encode_part(values, part, step.encoding))
            else:
                expressions.append(LinearTimePart(expression, part))
    return Matrix(tuple(expressions), "array")


class CycleIndex(TableIndex):
    """The position of a datetime in a cycle, such as the month in the year; the last position stands for missing."""

    def __init__(self, moment: Expression, part: str) -> None:
        self.moment = moment
        self.part = part
        self.first, length = CYCLES[part]
        self.size = length + 1

    @override
    def emit(self, writer: CodeWriter) -> str:
        moment = writer.emit(self.moment)
        date = writer.constant(dt.date)
        position = {
            "month": f"{moment}.month - 1",
            "day": f"{moment}.day - 1",
            "weekday": f"{moment}.weekday()",
            "day_of_year": f"{moment}.toordinal() - {date}({moment}.year, 1, 1).toordinal()",
            # A date has no time of day: it stands for its midnight.
            "hour": f"{writer.constant(getattr)}({moment}, 'hour', 0)",
            "minute": f"{writer.constant(getattr)}({moment}, 'minute', 0)",
        }[self.part]
        return writer.assign(f"{writer.constant(self.size - 1)} if {moment} is None else {position}")

    @override
    def evaluate(self, batch: BatchContext) -> Any:
        parts = time_part(batch.evaluate(self.moment), self.part)
        missing = np.isnan(parts)
        return np.where(missing, self.size - 1, np.where(missing, 0, parts - self.first)).astype(np.intp)


class LinearTimePart(Expression):
    """The year, or the days since 1970-01-01."""

    dtype = "float64"

    def __init__(self, moment: Expression, part: str) -> None:
        self.moment = moment
        self.part = part

    @override
    def emit(self, writer: CodeWriter) -> str:
        moment = writer.emit(self.moment)
        days = f"({moment}.toordinal() - {writer.constant(EPOCH_ORDINAL)})"
        value = f"{moment}.year" if self.part == "year" else days
        return writer.assign(f"nan if {moment} is None else {value} * 1.0")

    @override
    def evaluate(self, batch: BatchContext) -> Array:
        return time_part(batch.evaluate(self.moment), self.part)
