"""SimpleImputer and MissingIndicator, for missing_values=NaN."""

from typing import Any

import numpy as np

from skline.scoring.answers import NotPlannable
from skline.scoring.cells import filled, missing_flag
from skline.scoring.matrix import Matrix, Reading, check_names, numbers
from skline.scoring.source import Cell


def read_simple_imputer(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Fill with `statistics_`, drop columns that were empty in `fit`, append the indicator."""
    cells = _readable(reading, step, matrix)
    out: list[Cell] = []
    for cell, statistic in zip(cells, step.statistics_, strict=True):
        if not step.keep_empty_features and statistic != statistic:  # noqa: PLR0124 (NaN, of any type)
            continue
        out.append(_fill(step, cell, statistic))
    if step.add_indicator:
        if any(cell.dtype == "str" for cell in cells):
            raise NotPlannable("SimpleImputer(add_indicator=True) on text makes an object array; use MissingIndicator")
        out.extend(_indicators(step.indicator_, cells))
    return Matrix(tuple(out), "array")


def _fill(step: Any, cell: Cell, statistic: Any) -> Cell:
    """Fill one column; nothing is missing in whole numbers."""
    if cell.dtype == "str":
        if not isinstance(statistic, str):
            raise NotPlannable(f"SimpleImputer fills a text column with {statistic!r}; use a text as fill_value")
        return filled(cell, statistic)
    if cell.dtype == "int64":
        return cell
    return filled(cell, float(np.asarray(statistic).astype(step._fill_dtype)))


def read_missing_indicator(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """A bool for each column that is watched."""
    if step.sparse is True:
        raise NotPlannable("MissingIndicator(sparse=True) is not planned; leave sparse='auto'")
    if step.features == "missing-only" and step.error_on_new:
        cells = _readable(reading, step, matrix)
        watched = set(step.features_.tolist())
        reading.require([cell for i, cell in enumerate(cells) if i not in watched], "not missing")
        return Matrix(_indicators(step, cells), "array")
    return Matrix(_indicators(step, _readable(reading, step, matrix)), "array")


def _indicators(indicator: Any, cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return tuple(missing_flag(cells[index]) for index in indicator.features_)


def _readable(reading: Reading, step: Any, matrix: Matrix) -> tuple[Cell, ...]:
    """Return the cells as `_validate_input` gives them: text as it is, numbers in one dtype."""
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        raise NotPlannable(f"{type(step).__name__}(missing_values={missing!r}) is not planned; use NaN")
    if matrix.container == "sparse":
        raise NotPlannable(f"{type(step).__name__} is given a sparse matrix; set sparse_threshold=0 before it")
    check_names(matrix, step)
    strategy = getattr(step, "strategy", None)
    if not (strategy is None or isinstance(strategy, str) or callable(strategy)):
        raise NotPlannable(f"SimpleImputer(strategy={strategy!r}) is not known")
    if matrix.dtypes == {"str"}:
        return matrix.cells
    keeps_dtype = strategy is None or strategy in ("most_frequent", "constant")
    if keeps_dtype and (matrix.mixed or "bool" in matrix.dtypes):
        raise NotPlannable(f"{type(step).__name__} keeps the dtype of bool columns, which makes objects of them")
    if keeps_dtype and matrix.dtypes == {"int64"}:
        return matrix.cells
    cells = numbers(matrix, step)
    reading.require(cells, "no infinity")
    return cells
