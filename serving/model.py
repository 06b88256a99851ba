"""One artifact that is being served: how its bodies are read and its answers written."""

import math
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any

import numpy as np
from pydantic_core import to_json

from serving.errors import RequestRefused
from skline.artifact import Artifact
from skline.contract.requests import Rows
from skline.contract.spec import Value
from skline.scoring.answers import RowAnswer, Scores

Row = dict[str, Value]
#: Bytes of a prediction's id.
ID_BYTES = 16


class Bodies:
    """Request bodies, checked by the contract: JSON → rows of plain values."""

    def __init__(self, artifact: Artifact, max_rows: int) -> None:
        """Generate the request types."""
        self.rows = Rows(artifact.contract)
        self.max_rows = max_rows
        #: Validate a JSON object as one row; pydantic.ValidationError names the field and the rule.
        self.read_row: Callable[[bytes], Row] = self.rows.read_one

    def read_rows(self, body: bytes) -> list[Row]:
        """Validate a JSON array of rows.

        Raises
        ------
        pydantic.ValidationError
            Naming row, field and rule.
        RequestRefused
            If it has more rows than a batch may have.
        """
        rows: list[Row] = self.rows.read_many(body)
        self._check_length(len(rows))
        return rows

    def take_rows(self, values: Sequence[Any]) -> list[Row]:
        """Validate rows that were read already, as JSON values; raises as `read_rows` does."""
        self._check_length(len(values))
        return self.read_rows(to_json(values))

    def _check_length(self, count: int) -> None:
        """Refuse a batch that is too long."""
        if count > self.max_rows:
            raise RequestRefused(
                413,
                f"the batch has {count} rows, at most {self.max_rows} are allowed; send it in parts",
                "batch_too_long",
            )


class Answers:
    """Answers as JSON, each with the model's version and an id of its own."""

    def __init__(self, artifact: Artifact) -> None:
        """Prepare what all answers share."""
        classes = artifact.contract.classes
        self.labels = None if classes is None else [_label(value) for value in classes]
        self.version = artifact.version

    def one(self, answer: RowAnswer, prediction_id: str) -> bytes:
        """Write one row's answer."""
        prediction, chances = answer
        content: dict[str, Any] = {"prediction": prediction}
        if chances is not None and self.labels is not None:
            content["probabilities"] = dict(zip(self.labels, chances, strict=True))
        content["model_version"] = self.version
        content["prediction_id"] = prediction_id
        return to_json(content)

    def many(self, scores: Scores, prediction_ids: Sequence[str]) -> bytes:
        """Write the answers to many rows, in order."""
        version, labels = self.version, self.labels
        predictions = scores.predictions.tolist()
        if scores.probabilities is None or labels is None:
            answers = [
                {"prediction": prediction, "model_version": version, "prediction_id": name}
                for prediction, name in zip(predictions, prediction_ids, strict=True)
            ]
        else:
            answers = [
                {
                    "prediction": prediction,
                    "probabilities": dict(zip(labels, chances, strict=True)),
                    "model_version": version,
                    "prediction_id": name,
                }
                for prediction, chances, name in zip(
                    predictions, scores.probabilities.tolist(), prediction_ids, strict=True
                )
            ]
        return to_json({"predictions": answers})


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


def _label(value: object) -> str:
    """Write a class as a JSON key: true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
