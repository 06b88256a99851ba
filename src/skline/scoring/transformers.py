"""Fitted transformers, read: each turns the cells it is given into the cells that it would return.

Exact types only, looked up by their full name (`TRANSFORMERS`): a subclass may override anything.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from skline.scoring.answers import NotPlannable
from skline.scoring.matrix import Matrix, Reading, check_names
from skline.scoring.read import categories, functions, impute, scale, text

Reader = Callable[[Reading, Any, Matrix], Matrix]


def transform(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Return what the fitted transformer makes of the matrix.

    Raises
    ------
    NotPlannable
        If its type or one of its parameters is not known, or it would be given what it cannot read.
    """
    if isinstance(step, str) and step == "passthrough":
        return matrix
    reader = TRANSFORMERS.get(qualified_name(step))
    if reader is None:
        raise NotPlannable(
            f"{type(step).__name__} is a transformer that no plan knows; the pipeline itself can serve it"
        )
    check_output(step)
    return reader(reading, step, matrix)


def qualified_name(step: Any) -> str:
    """Module and name of the exact type."""
    return f"{type(step).__module__}.{type(step).__qualname__}"


def check_output(step: Any) -> None:
    """Raise NotPlannable if the step was told to return frames."""
    config = getattr(step, "_sklearn_output_config", {})
    if config.get("transform", "default") not in (None, "default"):
        raise NotPlannable(f"{type(step).__name__} has set_output(transform={config['transform']!r}); leave it default")


def read_pipeline(reading: Reading, pipeline: Any, matrix: Matrix) -> Matrix:
    """All steps of a Pipeline of transformers."""
    for _, step in pipeline.steps:
        if step is not None:
            matrix = transform(reading, step, matrix)
    return matrix


def read_column_transformer(reading: Reading, step: Any, matrix: Matrix) -> Matrix:
    """Each transformer on its columns, results side by side."""
    if step.transformer_weights:
        raise NotPlannable("ColumnTransformer has transformer_weights, which no plan knows; scale in a step instead")
    if matrix.container == "sparse":
        raise NotPlannable("ColumnTransformer is given a sparse matrix; set sparse_threshold=0 in the step before it")
    parts: list[Matrix] = []
    for name, transformer, columns in step.transformers_:
        indices = step._transformer_to_input_indices.get(name, [])
        if (isinstance(transformer, str) and transformer == "drop") or not len(indices):
            continue
        if np.isscalar(columns):
            raise NotPlannable(f"ColumnTransformer gives {name!r} a one-dimensional column; write [{columns!r}]")
        parts.append(transform(reading, transformer, _select(step, matrix, indices)))
    return side_by_side(parts, sparse=bool(step.sparse_output_))


def _select(step: Any, matrix: Matrix, indices: list[int]) -> Matrix:
    """Choose columns as ColumnTransformer does: by the names of `fit` from a frame, else by position."""
    if matrix.container == "frame" and hasattr(step, "feature_names_in_"):
        names = tuple(str(step.feature_names_in_[index]) for index in indices)
        absent = [name for name in names if name not in (matrix.names or ())]
        if absent:
            raise NotPlannable(f"ColumnTransformer needs the columns {absent}, which the contract does not have")
        cells = tuple(matrix.cells[(matrix.names or ()).index(name)] for name in names)
        return Matrix(cells, "frame", names)
    check_names(matrix, step)
    chosen = tuple(matrix.cells[index] for index in indices)
    kept = None if matrix.names is None else tuple(matrix.names[index] for index in indices)
    return Matrix(chosen, matrix.container, kept, matrix.mixed)


def side_by_side(parts: list[Matrix], *, sparse: bool) -> Matrix:
    """Concatenate as np.hstack does (or scipy's hstack)."""
    cells = tuple(cell for part in parts for cell in part.cells)
    if not cells:
        raise NotPlannable("ColumnTransformer returns no columns; no plan is needed for a constant")
    dtypes = {cell.dtype for cell in cells}
    if "datetime64[us]" in dtypes or ("str" in dtypes and dtypes != {"str"}):
        raise NotPlannable(
            f"ColumnTransformer puts columns of {sorted(dtypes)} side by side, which makes an object array; "
            "encode text and datetimes inside it"
        )
    mixed = any(part.mixed or mixes(part) for part in parts)
    return Matrix(cells, "sparse" if sparse else "array", mixed=mixed)


def mixes(matrix: Matrix) -> bool:
    """Whether a frame becomes an object array: pandas finds no common dtype for bool and numbers."""
    return matrix.container == "frame" and "bool" in matrix.dtypes and matrix.dtypes != {"bool"}


TRANSFORMERS: dict[str, Reader] = {
    "sklearn.pipeline.Pipeline": read_pipeline,
    "sklearn.compose._column_transformer.ColumnTransformer": read_column_transformer,
    "sklearn.impute._base.SimpleImputer": impute.read_simple_imputer,
    "sklearn.impute._base.MissingIndicator": impute.read_missing_indicator,
    "sklearn.preprocessing._data.StandardScaler": scale.read_standard_scaler,
    "sklearn.preprocessing._data.MinMaxScaler": scale.read_min_max_scaler,
    "sklearn.preprocessing._data.MaxAbsScaler": scale.read_max_abs_scaler,
    "sklearn.preprocessing._data.RobustScaler": scale.read_robust_scaler,
    "sklearn.preprocessing._encoders.OneHotEncoder": categories.read_one_hot_encoder,
    "sklearn.preprocessing._encoders.OrdinalEncoder": categories.read_ordinal_encoder,
    "sklearn.preprocessing._target_encoder.TargetEncoder": categories.read_target_encoder,
    "sklearn.preprocessing._discretization.KBinsDiscretizer": categories.read_discretizer,
    "sklearn.preprocessing._function_transformer.FunctionTransformer": functions.read_function_transformer,
    "skline.features.TextFeatures": text.read_text_features,
    "skline.features.TimeFeatures": functions.read_time_features,
}
