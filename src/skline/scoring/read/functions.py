"""TimeFeatures, and FunctionTransformer of functions whose every cell depends on nothing but itself."""

import datetime as dt
from functools import partial
from typing import Any

import numpy as np
from typing_extensions import override

from skline.clock import CYCLES, encode_part, minutes_of_day, time_part
from skline.scoring.answers import NotPlannable
from skline.scoring.cells import Elementwise, Table, elementwise
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.source import Array, Batch, Cell, Code, Source

#: NumPy functions that give one value the same bits as many.
UFUNCS = (np.sqrt, np.log1p, np.log, np.exp, np.expm1, np.abs, np.log2, np.log10)

EPOCH = dt.date(1970, 1, 1).toordinal()


def read_function_transformer(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Apply `func`, which must be one that is known."""
    if step.kw_args:
        raise NotPlannable(f"FunctionTransformer has kw_args {step.kw_args}, which no plan knows")
    if step.validate:
        check_names(matrix, step)
        reading.require(numbers(matrix, step), "finite")
        matrix = Matrix(numbers(matrix, step), "array")
    func = step.func
    if func is None:
        return matrix
    if matrix.container == "sparse":
        raise NotPlannable("FunctionTransformer is given a sparse matrix; set sparse_threshold=0 before it")
    if func is minutes_of_day:
        return Matrix(tuple(map(_minutes, numbers(matrix, step, float32=True))), "array")
    known = [ufunc for ufunc in UFUNCS if func is ufunc]
    if not known or not matrix.dtypes <= {"float64"}:
        raise NotPlannable(
            f"FunctionTransformer applies {getattr(func, '__name__', func)!r} to "
            f"columns of {sorted(matrix.dtypes)}; a plan knows minutes_of_day, and NumPy's sqrt, exp, log "
            "and abs on float64"
        )
    return Matrix(tuple(_mapped(cell, known[0]) for cell in matrix.cells), matrix.container, matrix.names)


def _mapped(cell: Cell, ufunc: Any) -> Cell:
    """Call the ufunc itself on one value: its loops differ from the C library's functions in last bits."""
    return elementwise(cell, "{f}({x})", ufunc, {"f": partial(one_value, ufunc=ufunc)})


def one_value(value: float, ufunc: Any) -> float:
    """Apply the ufunc to one float, without warnings."""
    with np.errstate(all="ignore"):
        result: float = ufunc(value).item()
    return result


def _minutes(cell: Cell) -> Cell:
    """hhmm → minutes since midnight, in the order of `minutes_of_day`."""
    hours = elementwise(cell, "({x} / 100.0) // 1.0", _hours)
    if isinstance(cell, Table):
        return elementwise(cell, "", minutes_of_day)
    return Minutes(cell, hours)


def _hours(hhmm: Array) -> Array:
    """Whole hours of hhmm."""
    return np.floor(hhmm / 100)


class Minutes(Elementwise):
    """Minutes since midnight, from hhmm and from its hours."""

    def __init__(self, cell: Cell, hours: Cell) -> None:
        super().__init__(cell, "", minutes_of_day)
        self.hours = hours

    @override
    def emit(self, source: Source) -> str:
        clock, hours = source.of(self.cell), source.of(self.hours)
        return source.assign(f"{hours} * 60.0 + ({clock} - {hours} * 100.0)")


def read_time_features(reading: Reading, step: Any, matrix: Matrix) -> Matrix:  # noqa: ARG001
    """Each part of each datetime, encoded."""
    check_names(matrix, step)
    if matrix.dtypes != {"datetime64[us]"}:
        raise NotPlannable(f"TimeFeatures is given columns of {sorted(matrix.dtypes)}; give it dates and datetimes")
    cells: list[Cell] = []
    for cell in matrix.cells:
        for part in step.parts:
            if part in CYCLES:
                first, length = CYCLES[part]
                values = np.append(np.arange(first, first + length, dtype=np.float64), np.nan)
                code = CycleCode(cell, part)
                cells.extend(Table(code, entries) for entries in encode_part(values, part, step.encoding))
            else:
                cells.append(TimePart(cell, part))
    return Matrix(tuple(cells), "array")


class CycleCode(Code):
    """The place of a datetime in a cycle; the last code stands for missing."""

    def __init__(self, stamp: Cell, part: str) -> None:
        self.stamp = stamp
        self.part = part
        self.first, length = CYCLES[part]
        self.size = length + 1

    @override
    def emit(self, source: Source) -> str:
        stamp = source.of(self.stamp)
        date = source.constant(dt.date)
        read = {
            "month": f"{stamp}.month - 1",
            "day": f"{stamp}.day - 1",
            "weekday": f"{stamp}.weekday()",
            "day_of_year": f"{stamp}.toordinal() - {date}({stamp}.year, 1, 1).toordinal()",
            # A date has no clock: it stands for its midnight.
            "hour": f"{source.constant(getattr)}({stamp}, 'hour', 0)",
            "minute": f"{source.constant(getattr)}({stamp}, 'minute', 0)",
        }[self.part]
        return source.assign(f"{source.constant(self.size - 1)} if {stamp} is None else {read}")

    @override
    def values(self, batch: Batch) -> Any:
        parts = time_part(batch.of(self.stamp), self.part)
        missing = np.isnan(parts)
        return np.where(missing, self.size - 1, np.where(missing, 0, parts - self.first)).astype(np.intp)


class TimePart(Cell):
    """The year, or the days since 1970-01-01."""

    dtype = "float64"

    def __init__(self, stamp: Cell, part: str) -> None:
        self.stamp = stamp
        self.part = part

    @override
    def emit(self, source: Source) -> str:
        stamp = source.of(self.stamp)
        read = f"{stamp}.year" if self.part == "year" else f"({stamp}.toordinal() - {source.constant(EPOCH)})"
        return source.assign(f"nan if {stamp} is None else {read} * 1.0")

    @override
    def values(self, batch: Batch) -> Array:
        return time_part(batch.of(self.stamp), self.part)
