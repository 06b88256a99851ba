"""Find the reader of a fitted transformer by its exact type, and convert its output to expressions.

Only exact types are supported, named as their public module exports them: a subclass may override anything.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from skline.scoring.matrix import Matrix, check_names
from skline.scoring.row_checks import RowChecks
from skline.scoring.scores import UnsupportedStep
from skline.scoring.sklearn_internals import configured_output, input_positions, public_type_name
from skline.scoring.transformers import categories, functions, impute, scale, text

ReadTransformer = Callable[[RowChecks, Any, Matrix], Matrix]


def transform(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Return what the fitted transformer makes of the matrix.

    Raises
    ------
    UnsupportedStep
        If plans do not support its type or one of its parameters, or its input.
    """
    if isinstance(step, str) and step == "passthrough":
        return matrix
    read = TRANSFORMERS.get(public_type_name(step))
    if read is None:
        raise UnsupportedStep(
            f"plans do not support the transformer {type(step).__name__}; the pipeline itself can serve it"
        )
    check_output(step)
    return read(checks, step, matrix)


def check_output(step: Any) -> None:
    """Raise UnsupportedStep if the step is configured to return frames."""
    output = configured_output(step)
    if output not in (None, "default"):
        raise UnsupportedStep(f"{type(step).__name__} has set_output(transform={output!r}); leave it default")


def read_pipeline(checks: RowChecks, pipeline: Any, matrix: Matrix) -> Matrix:
    """Read all steps of a Pipeline of transformers."""
    for _, step in pipeline.steps:
        if step is not None:
            matrix = transform(checks, step, matrix)
    return matrix


def read_column_transformer(checks: RowChecks, step: Any, matrix: Matrix) -> Matrix:
    """Read a ColumnTransformer: each transformer applied to its columns, the outputs side by side."""
    if step.transformer_weights:
        raise UnsupportedStep("plans do not support ColumnTransformer(transformer_weights=…); scale in a step instead")
    if matrix.container == "sparse":
        raise UnsupportedStep("ColumnTransformer gets a sparse matrix; set sparse_threshold=0 in the step before it")
    parts: list[Matrix] = []
    for name, transformer, columns in step.transformers_:
        positions = input_positions(step, name)
        if (isinstance(transformer, str) and transformer == "drop") or not positions:
            continue
        if np.isscalar(columns):
            raise UnsupportedStep(f"ColumnTransformer gives {name!r} a one-dimensional column; write [{columns!r}]")
        parts.append(transform(checks, transformer, _select_columns(step, matrix, positions)))
    return side_by_side(parts, is_sparse=bool(step.sparse_output_))


def _select_columns(step: Any, matrix: Matrix, positions: list[int]) -> Matrix:
    """Select columns as ColumnTransformer does: by the names of `fit` from a frame, else by position."""
    if matrix.container == "frame" and hasattr(step, "feature_names_in_"):
        names = tuple(str(step.feature_names_in_[position]) for position in positions)
        absent = [name for name in names if name not in (matrix.names or ())]
        if absent:
            raise UnsupportedStep(f"ColumnTransformer needs the columns {absent}, which the contract does not have")
        expressions = tuple(matrix.expressions[(matrix.names or ()).index(name)] for name in names)
        return Matrix(expressions, "frame", names)
    check_names(matrix, step)
    expressions = tuple(matrix.expressions[position] for position in positions)
    selected_names = None if matrix.names is None else tuple(matrix.names[position] for position in positions)
    return Matrix(expressions, matrix.container, selected_names, matrix.is_mixed)


def side_by_side(parts: list[Matrix], *, is_sparse: bool) -> Matrix:
    """Concatenate matrices as np.hstack (or SciPy's hstack) does."""
    expressions = tuple(expression for part in parts for expression in part.expressions)
    if not expressions:
        raise UnsupportedStep("ColumnTransformer returns no columns; a constant needs no plan")
    dtypes = {expression.dtype for expression in expressions}
    if "datetime64[us]" in dtypes or ("str" in dtypes and dtypes != {"str"}):
        raise UnsupportedStep(
            f"ColumnTransformer puts columns of {sorted(dtypes)} side by side, which gives an object array; "
            "encode strings and datetimes inside it"
        )
    is_mixed = any(part.is_mixed or _becomes_object_array(part) for part in parts)
    return Matrix(expressions, "sparse" if is_sparse else "array", is_mixed=is_mixed)


def _becomes_object_array(matrix: Matrix) -> bool:
    """Return whether a frame becomes an object array: pandas has no common dtype for bool and numbers."""
    return matrix.container == "frame" and "bool" in matrix.dtypes and matrix.dtypes != {"bool"}


TRANSFORMERS: dict[str, ReadTransformer] = {
    "sklearn.pipeline.Pipeline": read_pipeline,
    "sklearn.compose.ColumnTransformer": read_column_transformer,
    "sklearn.impute.SimpleImputer": impute.read_simple_imputer,
    "sklearn.impute.MissingIndicator": impute.read_missing_indicator,
    "sklearn.preprocessing.StandardScaler": scale.read_standard_scaler,
    "sklearn.preprocessing.MinMaxScaler": scale.read_min_max_scaler,
    "sklearn.preprocessing.MaxAbsScaler": scale.read_max_abs_scaler,
    "sklearn.preprocessing.RobustScaler": scale.read_robust_scaler,
    "sklearn.preprocessing.OneHotEncoder": categories.read_one_hot_encoder,
    "sklearn.preprocessing.OrdinalEncoder": categories.read_ordinal_encoder,
    "sklearn.preprocessing.TargetEncoder": categories.read_target_encoder,
    "sklearn.preprocessing.KBinsDiscretizer": categories.read_discretizer,
    "sklearn.preprocessing.FunctionTransformer": functions.read_function_transformer,
    "skline.features.transformers.TextFeatures": text.read_text_features,
    "skline.features.transformers.TimeFeatures": functions.read_time_features,
}
