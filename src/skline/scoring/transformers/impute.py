"""Plans of SimpleImputer and MissingIndicator, for missing_values=NaN."""

from typing import Any

import numpy as np

from skline.scoring.code_writer import Expression
from skline.scoring.expressions import fill_missing, is_missing
from skline.scoring.matrix import Matrix, as_floats, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep
from skline.scoring.sklearn_internals import fill_dtype


def read_simple_imputer(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a SimpleImputer: fill with `statistics_`, drop columns that were empty in `fit`, append the indicator."""
    expressions = _inputs(checks, step, matrix)
    outputs: list[Expression] = []
    for expression, statistic in zip(expressions, step.statistics_, strict=True):
        if not step.keep_empty_features and statistic != statistic:  # noqa: PLR0124 (NaN, of any type)
            continue
        outputs.append(_fill(step, expression, statistic))
    if step.add_indicator:
        if any(expression.dtype == "str" for expression in expressions):
            raise UnsupportedStep(
                "SimpleImputer(add_indicator=True) on strings returns an object array; use MissingIndicator"
            )
        outputs.extend(_indicators(step.indicator_, expressions))
    return Matrix(tuple(outputs), "array")


def _fill(step: Any, expression: Expression, statistic: Any) -> Expression:
    """Fill one column; integers are never missing."""
    if expression.dtype == "str":
        if not isinstance(statistic, str):
            raise UnsupportedStep(f"SimpleImputer fills a string column with {statistic!r}; use a string as fill_value")
        return fill_missing(expression, statistic)
    if expression.dtype == "int64":
        return expression
    return fill_missing(expression, float(np.asarray(statistic).astype(fill_dtype(step))))


def read_missing_indicator(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a MissingIndicator: one bool for each column that it selected in `fit`."""
    if step.sparse is True:
        raise UnsupportedStep("plans do not support MissingIndicator(sparse=True); leave sparse='auto'")
    expressions = _inputs(checks, step, matrix)
    if step.features == "missing-only" and step.error_on_new:
        selected = set(step.features_.tolist())
        checks.require([e for i, e in enumerate(expressions) if i not in selected], "not missing")
    return Matrix(_indicators(step, expressions), "array")


def _indicators(indicator: Any, expressions: tuple[Expression, ...]) -> tuple[Expression, ...]:
    return tuple(is_missing(expressions[index]) for index in indicator.features_)


def _inputs(checks: RowChecks, step: Any, matrix: Matrix) -> tuple[Expression, ...]:
    """Return the expressions after the step's own input validation: strings unchanged, numbers in one dtype."""
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise UnsupportedStep(f"plans do not support {type(step).__name__}(missing_values={missing!r}); use NaN")
    if matrix.container == "sparse":
        raise UnsupportedStep(f"{type(step).__name__} gets a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    strategy = getattr(step, "strategy", None)
    if not (strategy is None or isinstance(strategy, str) or callable(strategy)):
        raise UnsupportedStep(f"plans do not support SimpleImputer(strategy={strategy!r})")
    if matrix.dtypes == {"str"}:
        return matrix.expressions
    keeps_dtype = strategy is None or strategy in ("most_frequent", "constant")
    if keeps_dtype and (matrix.is_mixed or "bool" in matrix.dtypes):
        raise UnsupportedStep(f"{type(step).__name__} keeps the dtype of bool columns, which turns them into objects")
    if keeps_dtype and matrix.dtypes == {"int64"}:
        return matrix.expressions
    expressions = as_floats(matrix, step)
    checks.require(expressions, "no infinity")
    return expressions
