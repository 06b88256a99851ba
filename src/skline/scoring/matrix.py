"""What passes from step to step while a plan is built: expressions, and the container that scikit-learn would use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from skline.contract.spec import Column
from skline.scoring.code_writer import Expression
from skline.scoring.expressions import NUMERIC_DTYPES, FlagIndex, InputColumn, LookupTable, as_float
from skline.scoring.scores import UnsupportedStep


@dataclass(frozen=True)
class Matrix:
    """Expressions side by side, and the container that holds them between two steps.

    Attributes
    ----------
    expressions : tuple of Expression
        One a column.
    container : {"frame", "array", "sparse"}
    names : tuple of str or None
        The column names of a frame.
    is_mixed : bool
        Whether scikit-learn would hold an object array: it is converted to float64 wherever numbers are required, but
        encoders and imputers treat it by rules of their own.
    """

    expressions: tuple[Expression, ...]
    container: Literal["frame", "array", "sparse"]
    names: tuple[str, ...] | None = None
    is_mixed: bool = False

    @property
    def dtypes(self) -> set[str]:
        """The dtypes that occur."""
        return {expression.dtype for expression in self.expressions}


def input_matrix(columns: Sequence[Column]) -> Matrix:
    """Return the frame that the pipeline receives: one expression for each column of the contract."""
    expressions: list[Expression] = []
    for position, column in enumerate(columns):
        value = InputColumn(position, column.storage)
        is_flag = column.storage == "bool"
        expressions.append(LookupTable(FlagIndex(value), np.array([False, True])) if is_flag else value)
    return Matrix(tuple(expressions), "frame", tuple(column.name for column in columns))


def as_floats(matrix: Matrix, step: Any, *, allow_float32: bool = False) -> tuple[Expression, ...]:
    """Return the matrix's expressions as float64, as check_array(dtype=float64) would convert them.

    Raises
    ------
    UnsupportedStep
        For strings and datetimes; and, unless `allow_float32`, for a matrix that scikit-learn would keep in float32,
        computing with less precision.
    """
    for expression in matrix.expressions:
        if expression.dtype not in NUMERIC_DTYPES:
            raise UnsupportedStep(
                f"{type(step).__name__} gets a column of {expression.dtype}; plans support numbers there"
            )
    if not allow_float32 and matrix.dtypes == {"float32"}:
        raise UnsupportedStep(f"{type(step).__name__} computes in float32; give its encoder dtype=float64")
    return tuple(as_float(expression) for expression in matrix.expressions)


def check_names(matrix: Matrix, step: Any, width: int | None = None) -> None:
    """Raise UnsupportedStep where scikit-learn would raise: for a frame whose columns are not those of `fit`.

    Parameters
    ----------
    matrix : Matrix
    step : transformer or estimator
    width : int or None
        Number of columns on which the step was fitted; None for its attribute `n_features_in_`.
    """
    fitted = getattr(step, "feature_names_in_", None)
    if matrix.container == "frame" and fitted is not None and tuple(fitted) != matrix.names:
        raise UnsupportedStep(
            f"{type(step).__name__} was fitted on the columns {list(fitted)}, but gets {matrix.names}; "
            "fit it on the contract's inputs in their order"
        )
    if width is None:
        width = getattr(step, "n_features_in_", len(matrix.expressions))
    if width != len(matrix.expressions):
        raise UnsupportedStep(
            f"{type(step).__name__} was fitted on {width} columns, but gets {len(matrix.expressions)}"
        )
