"""From a request body to an answer: validate rows, score them, write JSON."""

import logging
import math
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from pydantic_core import to_json

from serving.errors import RequestRefused
from skline.artifact import Artifact, Scoring
from skline.contract.frames import to_frame
from skline.contract.requests import row_model, values_of
from skline.contract.spec import Value
from skline.errors import SklineError
from skline.scoring.answers import RowRefused
from skline.scoring.golden import prove, read_rows
from skline.scoring.plan import Plan
from skline.scoring.reference import score_frame
from skline.scoring.scorer import prepare

Row = dict[str, Value]
NOT_FINITE = "the model has no finite answer for row {index}; its values are too extreme"

log = logging.getLogger("skline.serving")


@dataclass
class Predictor:
    """Answers for one artifact. Not ready until `load` has proved the golden rows."""

    artifact: Artifact
    max_batch_rows: int
    pipeline: Any = None
    plan: Plan | None = None
    scoring: Scoring | None = None
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
            self.scoring, self.plan = self._choose(pipeline)
            self.pipeline = pipeline

    def _choose(self, pipeline: Any) -> tuple[Scoring, Plan | None]:
        """Prove the packaged plan again here; where it is not equal the pipeline answers, and the log says so."""
        packaged = self.artifact.manifest.scoring
        if packaged.path == "pipeline":
            return packaged, None
        contract = self.artifact.contract
        choice, plan = prepare(pipeline, contract.inputs, read_rows(contract, self.artifact.golden.rows))
        if plan is None:
            log.warning("the plan is not used, the pipeline answers instead: %s", choice.reason)
        return Scoring(path=choice.path, exactness=choice.exactness, reason=choice.reason), plan

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

    def answer_planned(self, row: Row) -> bytes:
        """Score one row by the plan and write the answer as JSON: microseconds, so on the event loop."""
        assert self.plan is not None  # noqa: S101 - the route asks for the plan only where there is one
        try:
            prediction, chances = self.plan.score_row(row)
        except RowRefused as error:
            raise RequestRefused(422, f"the model cannot score this: {error}", "not_scorable") from error
        if not all(map(math.isfinite, (prediction,) if chances is None else chances)):
            raise RequestRefused(422, NOT_FINITE.format(index=0))
        answer: dict[str, Any] = {"prediction": prediction}
        if chances is not None and self.labels is not None:
            answer["probabilities"] = dict(zip(self.labels, chances, strict=True))
        answer["model_version"] = self.artifact.version
        answer["prediction_id"] = uuid.uuid4().hex
        return to_json(answer)

    def answer_row(self, row: Row) -> bytes:
        """Score one row by the pipeline and write the answer as JSON."""
        return to_json(self._answers([row])[0])

    def answer_rows(self, rows: Sequence[Row]) -> bytes:
        """Score rows and write their answers, in order, as JSON."""
        return to_json({"predictions": self._answers(rows) if rows else []})

    def _answers(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Score rows; each answer has a prediction_id of its own."""
        try:
            if self.plan is not None:
                scores = self.plan.score_rows(rows)
            else:
                scores = score_frame(self.pipeline, to_frame(self.artifact.contract.inputs, rows))
        except ValueError as error:  # such as a value beyond float32, which forests refuse
            raise RequestRefused(422, f"the model cannot score this: {error}", "not_scorable") from error
        numbers = scores.predictions if scores.probabilities is None else scores.probabilities
        finite = np.isfinite(numbers).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            index = int(np.flatnonzero(~finite)[0])
            raise RequestRefused(422, NOT_FINITE.format(index=index))
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
