"""Scalers: one or two operations a column, in the order in which scikit-learn carries them out in place."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from skline.scoring.answers import NotPlannable
from skline.scoring.cells import elementwise
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.source import Array, Cell

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "-": operator.sub,
    "+": operator.add,
    "*": operator.mul,
    "/": operator.truediv,
}


def read_standard_scaler(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """(x - mean) / scale, either of them optional."""
    cells = _checked(reading, step, matrix)
    if step.with_mean:
        cells = _each(cells, "-", step.mean_)
    if step.with_std:
        cells = _each(cells, "/", step.scale_)
    return Matrix(cells, "array")


def read_robust_scaler(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """(x - center) / scale, either of them optional."""
    cells = _checked(reading, step, matrix)
    if step.with_centering:
        cells = _each(cells, "-", step.center_)
    if step.with_scaling:
        cells = _each(cells, "/", step.scale_)
    return Matrix(cells, "array")


def read_min_max_scaler(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Multiply by scale, add min, and clip to feature_range if asked to."""
    cells = _each(_each(_checked(reading, step, matrix), "*", step.scale_), "+", step.min_)
    if step.clip:
        cells = _clipped(cells, *map(float, step.feature_range))
    return Matrix(cells, "array")


def read_max_abs_scaler(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Divide by scale, and clip to -1 and 1 if asked to."""
    cells = _each(_checked(reading, step, matrix), "/", step.scale_)
    if step.clip:
        cells = _clipped(cells, -1.0, 1.0)
    return Matrix(cells, "array")


def _checked(reading: Reading, step: Any, matrix: Matrix) -> tuple[Cell, ...]:
    """Return the float64 cells that every scaler begins with; it refuses infinity and lets NaN pass."""
    if matrix.container == "sparse":
        raise NotPlannable(f"{type(step).__name__} is given a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    cells = numbers(matrix, step)
    reading.require(cells, "no infinity")
    return cells


def _each(cells: tuple[Cell, ...], sign: str, constants: Array) -> tuple[Cell, ...]:
    """Apply one operation to every column, each with its own constant."""
    if constants.dtype != np.float64 or (sign == "/" and not np.all(constants)):
        raise NotPlannable("a scaler's constants are not float64, or zero divides; fit it on float64 columns")
    return tuple(
        elementwise(
            cell,
            f"{{x}} {sign} {{c}}",
            partial(_operate, operation=OPERATIONS[sign], constant=c),
            {"c": float(c)},
        )
        for cell, c in zip(cells, constants, strict=True)
    )


def _operate(values: Array, operation: Callable[[Any, Any], Any], constant: np.float64) -> Array:
    with np.errstate(all="ignore"):
        result: Array = operation(values, constant)
    return result


def _clipped(cells: tuple[Cell, ...], low: float, high: float) -> tuple[Cell, ...]:
    """np.clip, which prefers the bound where the value only equals it (-0.0 and 0.0) and keeps NaN."""
    bounds = {"low": low, "high": high}
    lower = "{x} if {x} > {low} or {x} != {x} else {low}"
    upper = "{x} if {x} < {high} or {x} != {x} else {high}"
    floors = (elementwise(cell, lower, partial(_at_least, bound=low), bounds) for cell in cells)
    return tuple(elementwise(cell, upper, partial(_at_most, bound=high), bounds) for cell in floors)


def _at_least(values: Array, bound: float) -> Array:
    return np.maximum(values, bound)


def _at_most(values: Array, bound: float) -> Array:
    return np.minimum(values, bound)
