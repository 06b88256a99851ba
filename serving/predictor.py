"""From a request body to an answer: validate rows, score them, write JSON."""

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from pydantic_core import to_json

from serving.errors import RequestRefused
from skline.artifact import Artifact
from skline.contract.frames import to_frame
from skline.contract.requests import row_model, values_of
from skline.contract.spec import Value
from skline.errors import SklineError
from skline.scoring.golden import prove
from skline.scoring.reference import score_frame

Row = dict[str, Value]


@dataclass
class Predictor:
    """Answers for one artifact. Not ready until `load` has proved the golden rows."""

    artifact: Artifact
    max_batch_rows: int
    pipeline: Any = None
    refused: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Generate the request types, once."""
        self.names = self.artifact.contract.input_names
        self.row_type = row_model(self.artifact.contract)
        self._one = self.row_type.__pydantic_validator__
        self._many: TypeAdapter[list[Any]] = TypeAdapter(list[self.row_type])  # type: ignore[name-defined]
        classes = self.artifact.contract.classes
        self.labels = None if classes is None else [_label(value) for value in classes]

    def load(self) -> None:
        """Deserialise the verified pipeline and answer the golden rows; keep the reason if it is refused."""
        with self._lock:
            try:
                pipeline = self.artifact.load_pipeline()
                prove(self.artifact, pipeline)
            except SklineError as error:
                self.refused = str(error)
                raise
            self.pipeline = pipeline

    @property
    def ready(self) -> bool:
        """Whether predictions can be asked for."""
        return self.pipeline is not None

    def read_row(self, body: bytes) -> Row:
        """Validate a JSON object as one row; pydantic.ValidationError names the field and the rule."""
        return values_of(self._one.validate_json(body), self.names)

    def read_rows(self, body: bytes) -> list[Row]:
        """Validate a JSON array of rows.

        Raises
        ------
        pydantic.ValidationError
            Naming row, field and rule.
        RequestRefused
            If it has more rows than a batch may have.
        """
        rows = [values_of(row, self.names) for row in self._many.validate_json(body)]
        if len(rows) > self.max_batch_rows:
            raise RequestRefused(
                413,
                f"the batch has {len(rows)} rows, at most {self.max_batch_rows} are allowed; send it in parts",
            )
        return rows

    def answer_row(self, row: Row) -> bytes:
        """Score one row and write the answer as JSON."""
        return to_json(self._answers([row])[0])

    def answer_rows(self, rows: Sequence[Row]) -> bytes:
        """Score rows and write their answers, in order, as JSON."""
        return to_json({"predictions": self._answers(rows) if rows else []})

    def _answers(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Score rows; each answer has a prediction_id of its own."""
        try:
            scores = score_frame(self.pipeline, to_frame(self.artifact.contract.inputs, rows))
        except ValueError as error:  # such as a value beyond float32, which forests refuse
            raise RequestRefused(422, f"the model cannot score this: {error}", "not_scorable") from error
        numbers = scores.predictions if scores.probabilities is None else scores.probabilities
        finite = np.isfinite(numbers).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            index = int(np.flatnonzero(~finite)[0])
            raise RequestRefused(422, f"the model has no finite answer for row {index}; its values are too extreme")
        version = self.artifact.version
        answers: list[dict[str, Any]] = [{"prediction": value} for value in scores.predictions.tolist()]
        if scores.probabilities is not None and self.labels is not None:
            for answer, values in zip(answers, scores.probabilities.tolist(), strict=True):
                answer["probabilities"] = dict(zip(self.labels, values, strict=True))
        for answer in answers:
            answer["model_version"] = version
            answer["prediction_id"] = uuid.uuid4().hex
        return answers


def _label(value: object) -> str:
    """Write a class as a JSON key: true and false as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value)
