"""Answers as JSON, and what must hold of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestRefused
from skline.artifact import Artifact
from skline.contract.spec import Scalar
from skline.scoring.answers import RowAnswer, Scores

Content = dict[str, Any]


class Answers:
    """Writes answers, each with the name of who answers and an id of its own.

    Parameters
    ----------
    version : str
        Who answers: a model's version, or the name of a fallback.
    classes : sequence or None
        The contract's.
    digest : str
        Sha256 of the artifact that answers; empty if none does.
    path : str
        What answers: plan, pipeline, or the name of a fallback.
    half_width : float or None
        Of the interval around each predicted number.
    more : str to JSON value
        What else every answer says.
    """

    def __init__(
        self,
        version: str,
        classes: Sequence[Scalar] | None,
        *,
        digest: str = "",
        path: str,
        half_width: float | None = None,
        **more: Any,
    ) -> None:
        self.half_width = half_width
        self.labels = None if classes is None else [label(value) for value in classes]
        self.version, self.digest, self.path, self.more = version, digest, path, more

    def one(self, answer: RowAnswer, prediction_id: str) -> Content:
        """What is answered to one row."""
        prediction, chances = answer
        content: Content = {"prediction": prediction}
        if chances is not None and self.labels is not None:
            content["probabilities"] = dict(zip(self.labels, chances, strict=True))
        elif self.half_width is not None:
            content["interval"] = [prediction - self.half_width, prediction + self.half_width]
        content["model_version"] = self.version
        content["prediction_id"] = prediction_id
        if self.more:
            content |= self.more
        return content

    def many(self, scores: Scores, prediction_ids: Sequence[str]) -> list[Content]:
        """What is answered to many rows, in their order."""
        predictions = scores.predictions.tolist()
        version, labels, more = self.version, self.labels, self.more
        if self.half_width is not None:
            return [self.one((number, None), name) for number, name in zip(predictions, prediction_ids, strict=True)]
        if scores.probabilities is None or labels is None:
            return [
                {"prediction": prediction, "model_version": version, "prediction_id": name, **more}
                for prediction, name in zip(predictions, prediction_ids, strict=True)
            ]
        chances: list[dict[str, float]]
        if len(labels) == 2:  # written out, which takes half of the time
            first, second = labels
            chances = [{first: one, second: other} for one, other in scores.probabilities.tolist()]
        else:
            chances = [dict(zip(labels, row, strict=True)) for row in scores.probabilities.tolist()]
        return [
            {
                "prediction": prediction,
                "probabilities": probabilities,
                "model_version": version,
                "prediction_id": name,
                **more,
            }
            for prediction, probabilities, name in zip(predictions, chances, prediction_ids, strict=True)
        ]


def half_width_of(artifact: Artifact) -> float | None:
    """How wide, to either side, the artifact's intervals are; None of a classifier, or where nothing was measured."""
    tuning = artifact.manifest.tuning
    return tuning.interval.half_width if tuning is not None and tuning.interval is not None else None


#: Write an answer, or any other JSON value, as bytes.
write = orjson.dumps


def check_row(answer: RowAnswer) -> None:
    """Refuse an answer that is no finite number: JSON cannot hold it, and nobody should act on it."""
    prediction, chances = answer
    if not all(map(math.isfinite, chances)) if chances is not None else not math.isfinite(prediction):
        raise not_finite(0)


def check_rows(scores: Scores) -> None:
    """Refuse answers of which one is no finite number."""
    numbers = scores.predictions if scores.probabilities is None else scores.probabilities
    finite = np.isfinite(numbers)
    if not finite.all():
        raise not_finite(int(np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1))[0]))


def not_finite(index: int) -> RequestRefused:
    """Name the row."""
    return RequestRefused(
        422, f"the model has no finite answer for row {index}; its values are too extreme", "not_finite"
    )


def not_scorable(error: ValueError) -> RequestRefused:
    """Say what the model says, such as of a value beyond float32, which forests refuse."""
    return RequestRefused(422, f"the model cannot score this: {error}", "not_scorable")


def score_of(answer: RowAnswer) -> float:
    """One number that says how a row was judged: see `skline_score` in serving.metrics."""
    prediction, chances = answer
    if chances is None:
        return float(prediction)
    return chances[1] if len(chances) == 2 else max(chances)


def scores_of(scores: Scores) -> np.ndarray[Any, Any]:
    """The same of many rows, float64 of shape (n,)."""
    chances = scores.probabilities
    if chances is None:
        return np.asarray(scores.predictions, dtype=np.float64)
    return np.ascontiguousarray(chances[:, 1] if chances.shape[1] == 2 else chances.max(axis=1))


def label(value: object) -> str:
    """Write a class as a JSON key: true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
