"""What the fitted pipeline itself answers: the reference that everything faster must equal, bit for bit."""

from typing import Any

import pandas as pd

from skline.scoring.answers import Scores


def score_frame(pipeline: Any, frame: pd.DataFrame) -> Scores:
    """Ask the pipeline for predictions and, if it is a classifier, probabilities."""
    probabilities = pipeline.predict_proba(frame) if hasattr(pipeline, "predict_proba") else None
    return Scores(pipeline.predict(frame), probabilities)
