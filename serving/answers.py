"""Answers as JSON, and what must hold of them."""

import math
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import numpy as np
import orjson

from serving.errors import RequestRefused
from skline.contract.spec import Scalar
from skline.scoring.answers import RowAnswer, Scores

#: Bytes of a prediction's id.
ID_BYTES = 16


class Answers:
    """Writes answers, each with the model's version and an id of its own.

    Parameters
    ----------
    version : str
        Who answers.
    classes : sequence or None
        The contract's.
    more : str to JSON value
        What else every answer says.
    """

    def __init__(self, version: str, classes: Sequence[Scalar] | None, **more: Any) -> None:
        self.labels = None if classes is None else [label(value) for value in classes]
        self.version = version
        self.more = more

    def one(self, answer: RowAnswer, prediction_id: str, **more: Any) -> bytes:
        """Write one row's answer."""
        prediction, chances = answer
        content: dict[str, Any] = {"prediction": prediction}
        if chances is not None and self.labels is not None:
            content["probabilities"] = dict(zip(self.labels, chances, strict=True))
        content["model_version"] = self.version
        content["prediction_id"] = prediction_id
        if self.more or more:
            content |= self.more | more
        return orjson.dumps(content)

    def many(self, scores: Scores, prediction_ids: Sequence[str]) -> bytes:
        """Write the answers to many rows, in order."""
        version, labels, more = self.version, self.labels, self.more
        predictions = scores.predictions.tolist()
        if scores.probabilities is None or labels is None:
            answers = [
                {"prediction": prediction, "model_version": version, "prediction_id": name, **more}
                for prediction, name in zip(predictions, prediction_ids, strict=True)
            ]
        else:
            answers = [
                {
                    "prediction": prediction,
                    "probabilities": dict(zip(labels, chances, strict=True)),
                    "model_version": version,
                    "prediction_id": name,
                    **more,
                }
                for prediction, chances, name in zip(
                    predictions, scores.probabilities.tolist(), prediction_ids, strict=True
                )
            ]
        return orjson.dumps({"predictions": answers})


def new_ids(count: int) -> list[str]:
    """Ids for predictions: 128 random bits each, in hexadecimal."""
    text, width = token_hex(ID_BYTES * count), 2 * ID_BYTES
    return [text[start : start + width] for start in range(0, width * count, width)]


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


def label(value: object) -> str:
    """Write a class as a JSON key: true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
