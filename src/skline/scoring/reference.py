"""What the fitted pipeline itself answers: the reference that everything faster must equal, bit for bit."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd


class Scores(NamedTuple):
    """Answers for n rows.

    `predictions` is what `predict` gives, of shape (n,). `probabilities` is what `predict_proba` gives,
    float64 of shape (n, n_classes), in the order of `classes_`; None for a regressor.
    """

    predictions: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None


def score_frame(pipeline: Any, frame: pd.DataFrame) -> Scores:
    """Ask the pipeline for predictions and, if it is a classifier, probabilities."""
    probabilities = pipeline.predict_proba(frame) if hasattr(pipeline, "predict_proba") else None
    return Scores(pipeline.predict(frame), probabilities)
