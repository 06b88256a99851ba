"""Scoring with the pipeline itself: what every plan is measured by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skline.contract.frames import to_frame
from skline.contract.spec import Column, Value
from skline.scoring.answers import Scores


def score_with_pipeline(pipeline: Any, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]]) -> Scores:
    """Score rows with the pipeline itself.

    Returns what `predict` and `predict_proba` give for the frame of these rows (the latter if there is one).
    The steps before the last transform once for both: predict and predict_proba would each repeat them.
    """
    return score_frame(pipeline, to_frame(columns, rows))


def score_frame(pipeline: Any, frame: Any) -> Scores:
    """Score a DataFrame with the pipeline itself; see score_with_pipeline."""
    data = prepared_for_last_step(pipeline, frame)
    return score_with(pipeline.steps[-1][1] if _is_pipeline(pipeline) else pipeline, data)


def prepared_for_last_step(pipeline: Any, data: Any) -> Any:
    """Put data through every step of a Pipeline but its last; what is no Pipeline has no such steps."""
    if _is_pipeline(pipeline):
        for _, step in pipeline.steps[:-1]:
            if step is not None and not (isinstance(step, str) and step == "passthrough"):
                data = step.transform(data)
    return data


def score_with(estimator: Any, data: Any) -> Scores:
    """Ask an estimator for predictions and, if it has them, probabilities."""
    predictions = np.asarray(estimator.predict(data))
    chances = estimator.predict_proba(data) if hasattr(estimator, "predict_proba") else None
    return Scores(predictions, chances)


def _is_pipeline(pipeline: Any) -> bool:
    """Exactly a Pipeline: a subclass may do anything between its steps."""
    return f"{type(pipeline).__module__}.{type(pipeline).__qualname__}" == "sklearn.pipeline.Pipeline"
