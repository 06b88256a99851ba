"""Score with the pipeline itself: the reference that every plan is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.scores import Scores
from skline.scoring.sklearn_internals import public_type_name


def score_with_pipeline(pipeline: Any, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]]) -> Scores:
    """Score rows with the pipeline itself.

    Returns what `predict` and (if the pipeline has it) `predict_proba` return for the frame of these rows. The steps
    before the last one transform once for both: predict and predict_proba would each repeat them.
    """
    return score_frame(pipeline, to_frame(columns, rows))


def score_frame(pipeline: Any, frame: Any) -> Scores:
    """Score a DataFrame with the pipeline itself; see score_with_pipeline."""
    data = transform_before_last_step(pipeline, frame)
    return score_estimator(pipeline.steps[-1][1] if is_pipeline(pipeline) else pipeline, data)


def transform_before_last_step(pipeline: Any, data: Any) -> Any:
    """Transform data by every step of a Pipeline but its last; return it unchanged for any other estimator."""
    if is_pipeline(pipeline):
        for _, step in pipeline.steps[:-1]:
            if step is not None and not (isinstance(step, str) and step == "passthrough"):
                data = step.transform(data)
    return data


def score_estimator(estimator: Any, data: Any) -> Scores:
    """Call an estimator's `predict` and, if it has one, `predict_proba`."""
    predictions = np.asarray(estimator.predict(data))
    probabilities = estimator.predict_proba(data) if hasattr(estimator, "predict_proba") else None
    return Scores(predictions, probabilities)


def is_pipeline(estimator: Any) -> bool:
    """Return whether the type is exactly Pipeline: a subclass may do anything between its steps."""
    return public_type_name(estimator) == "sklearn.pipeline.Pipeline"
