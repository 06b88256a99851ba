"""Plans of scalers: one or two operations a column, in the order in which scikit-learn applies them in place."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from skline.scoring.code_writer import Array, Expression
from skline.scoring.expressions import elementwise
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "-": operator.sub,
    "+": operator.add,
    "*": operator.mul,
    "/": operator.truediv,
}


def read_standard_scaler(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a StandardScaler: (x - mean) / scale, each of them optional."""
    expressions = _inputs(checks, step, matrix)
    if step.with_mean:
        expressions = _apply(expressions, "-", step.mean_)
    if step.with_std:
        expressions = _apply(expressions, "/", step.scale_)
    return Matrix(expressions, "array")


def read_robust_scaler(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a RobustScaler: (x - center) / scale, each of them optional."""
    expressions = _inputs(checks, step, matrix)
    if step.with_centering:
        expressions = _apply(expressions, "-", step.center_)
    if step.with_scaling:
        expressions = _apply(expressions, "/", step.scale_)
    return Matrix(expressions, "array")


def read_min_max_scaler(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a MinMaxScaler: multiply by scale, add min, and with `clip` clip to feature_range."""
    expressions = _apply(_apply(_inputs(checks, step, matrix), "*", step.scale_), "+", step.min_)
    if step.clip:
        expressions = _clip(expressions, *map(float, step.feature_range))
    return Matrix(expressions, "array")


def read_max_abs_scaler(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a MaxAbsScaler: divide by scale, and with `clip` clip to -1 and 1."""
    expressions = _apply(_inputs(checks, step, matrix), "/", step.scale_)
    if step.clip:
        expressions = _clip(expressions, -1.0, 1.0)
    return Matrix(expressions, "array")


def _inputs(checks: RowChecks, step: Any, matrix: Matrix) -> tuple[Expression, ...]:
    """Return the float64 expressions with which every scaler starts; it rejects infinity and accepts NaN."""
    if matrix.container == "sparse":
        raise UnsupportedStep(f"{type(step).__name__} gets a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    expressions = as_floats(matrix, step)
    checks.require(expressions, "no infinity")
    return expressions


def _apply(expressions: tuple[Expression, ...], sign: str, constants: Array) -> tuple[Expression, ...]:
    """Apply one operation to every column, each with its own constant."""
    if constants.dtype != np.float64 or (sign == "/" and not np.all(constants)):
        raise UnsupportedStep("a scaler's constants are not float64, or one divides by zero; fit it on float64 columns")
    return tuple(
        elementwise(
            expression,
            f"{{x}} {sign} {{c}}",
            partial(_operate, operation=OPERATIONS[sign], constant=c),
            {"c": float(c)},
        )
        for expression, c in zip(expressions, constants, strict=True)
    )


def _operate(values: Array, operation: Callable[[Any, Any], Any], constant: np.float64) -> Array:
    with np.errstate(all="ignore"):
        result: Array = operation(values, constant)
    return result


def _clip(expressions: tuple[Expression, ...], low: float, high: float) -> tuple[Expression, ...]:
    """Clip as np.clip does: it prefers the bound where the value only equals it (-0.0 and 0.0), and keeps NaN."""
    bounds = {"low": low, "high": high}
    lower = "{x} if {x} > {low} or {x} != {x} else {low}"
    upper = "{x} if {x} < {high} or {x} != {x} else {high}"
    raised = (elementwise(expression, lower, partial(_maximum, bound=low), bounds) for expression in expressions)
    return tuple(elementwise(expression, upper, partial(_minimum, bound=high), bounds) for expression in raised)


def _maximum(values: Array, bound: float) -> Array:
    return np.maximum(values, bound)


def _minimum(values: Array, bound: float) -> Array:
    return np.minimum(values, bound)
