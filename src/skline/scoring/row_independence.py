"""Check that the prediction for a row does not depend on the other rows of its batch.

With a step that divides a column by its mean over the rows it is given, a row alone gets another prediction than the
same row in a batch, and yet another in an evaluation on thousands of rows. No plan supports such a step, so only
pipelines without a plan need this check.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.compose import ColumnTransformer

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.reference import is_pipeline, score_with_pipeline
from skline.scoring.scores import Scores

#: Relative differences up to this come from rounding: an estimator may compute in float32, whose precision is 6e-8.
#: A dependence that is smaller changes no decision.
TOLERANCE = 1e-5


def find_row_dependence(pipeline: Any, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]]) -> str | None:
    """Compare the predictions for rows in one batch with those for each row alone.

    Parameters
    ----------
    pipeline : estimator
        A fitted scikit-learn Pipeline, or a single estimator.
    columns : sequence of Column
        The inputs, in the order in which the pipeline's frames have them.
    rows : sequence of mapping of str to value

    Returns
    -------
    str or None
        The first row whose prediction differs by more than rounding explains, and the step that causes it, as a
        message; None if there is none.
    """
    batch = score_with_pipeline(pipeline, columns, rows)
    for index, row in enumerate(rows):
        alone = score_with_pipeline(pipeline, columns, [row])
        if not _is_same_score(batch, alone, index):
            in_batch = batch[index : index + 1]
            step = _dependent_step(pipeline, to_frame(columns, rows), index)
            where = f"the step {step!r}" if step else "the last step"
            gets = f"golden row {index} gets {_describe(alone)} alone and {_describe(in_batch)} in a batch"
            return f"{gets}: {where} computes a row from other rows of the batch"
    return None


def _is_same_score(batch: Scores, alone: Scores, index: int) -> bool:
    """Whether the row `index` of a batch and the row alone differ by rounding only.

    Rounding errors do not shrink with a small number, so the tolerance is a share of the number or of the batch's
    median, whichever is larger. Classes without probabilities have to be equal.
    """
    numbers, single = batch.probabilities, alone.probabilities
    if numbers is None or single is None:
        numbers, single = batch.predictions, alone.predictions
        if numbers.dtype.kind != "f":
            return bool(numbers[index] == single[0])
    scale = np.maximum(np.abs(numbers[index]), np.nanmedian(np.abs(numbers)))
    return bool(np.isclose(numbers[index], single[0], rtol=0, atol=TOLERANCE * scale, equal_nan=True).all())


def _describe(score: Scores) -> str:
    prediction, probabilities = score.row(0)
    return f"{prediction!r}" if probabilities is None else f"{prediction!r} ({max(probabilities):.4g})"


def _dependent_step(pipeline: Any, frame: pd.DataFrame, index: int) -> str | None:
    """Return the name of the first transformer whose output for a row depends on the others; None if none does."""
    if not is_pipeline(pipeline):
        return None
    batch, alone = frame, frame.iloc[[index]]
    for name, step in pipeline.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        before, single = batch, alone
        batch, alone = step.transform(before), step.transform(single)
        if not _is_same_row(batch, alone, index):
            for inner, transformer, selected in _parts(step):
                in_batch, by_itself = _select(before, selected), _select(single, selected)
                if not _is_same_row(transformer.transform(in_batch), transformer.transform(by_itself), index):
                    return f"{name}__{inner}"
            return str(name)
    return None


def _parts(step: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, transformer and columns of the parts of a ColumnTransformer; nothing for other steps."""
    if isinstance(step, ColumnTransformer):
        for name, transformer, selected in step.transformers_:
            if hasattr(transformer, "transform"):
                yield name, transformer, selected


def _select(data: Any, selected: Any) -> Any:
    """Return the columns of a part of a ColumnTransformer: names, positions, a slice or a mask."""
    if not isinstance(data, pd.DataFrame):
        return data[:, selected]
    is_by_name = isinstance(selected, str) or (
        not isinstance(selected, slice) and np.asarray(selected).dtype.kind in "UO"
    )
    return data.loc[:, selected] if is_by_name else data.iloc[:, selected]


def _is_same_row(batch: Any, alone: Any, index: int) -> bool:
    """Whether the row `index` of a transformed batch equals the row transformed alone, but for rounding."""
    in_batch, by_itself = _to_array(batch), _to_array(alone)
    if in_batch.shape[1:] != by_itself.shape[1:]:
        return False
    first, second = in_batch[index], by_itself[0]
    try:
        first, second = first.astype(float), second.astype(float)
    except (TypeError, ValueError):  # texts and dates
        return bool(pd.Series(first).equals(pd.Series(second)))
    return np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _to_array(data: Any) -> Any:
    return np.asarray(data.toarray() if sparse.issparse(data) else data)
