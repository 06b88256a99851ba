"""From a request body to an answer: validate rows, score them, count them, write them down."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from serving.answers import Answers, Content, check_row, check_rows, not_scorable, score_of, scores_of, write
from serving.bodies import SMALL, Bodies, Row
from serving.errors import RequestRefused
from serving.explaining import Explaining, none
from serving.fallbacks import Answered, build_chain
from serving.metrics import Metrics
from serving.models import Model, Models
from serving.quiet import Quiet
from serving.review import Review
from serving.security.guard import Visit
from serving.security.limits import Slots
from serving.settings import ServiceSettings
from skline.errors import SklineError
from skline.logs.records import Prediction, new_prediction_id, new_prediction_ids, now_us
from skline.logs.writer import NotDurable, PredictionLog
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.microbatch import Closed, QueueFull

log = logging.getLogger("skline.serving")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Batch:
    """Answers to rows: the scores, who gave them, and what each row is answered."""

    scores: Scores
    answers: Answers
    contents: list[Content]


class Predictor:
    """Answers requests by the models of a service, and by its fallbacks where they fail."""

    def __init__(
        self, models: Models, settings: ServiceSettings, metrics: Metrics, slots: Slots, written: PredictionLog
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.bodies = Bodies(models.first.contract, settings.max_batch_rows)
        self.review = Review(settings.review)
        self.log = written
        self._slots = slots
        self._explaining = Explaining(slots)
        self._chain = build_chain(settings.fallback, models)
        self._quiet = Quiet(log)
        # Batches take turns: they would only contend for the interpreter, and single rows with them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")

    async def answer_row(self, body: bytes, visit: Visit | None = None, *, explain: bool = False) -> Content:
        """Answer a JSON object; `explain` adds what each input contributed.

        Raises
        ------
        pydantic.ValidationError
            Naming the field and the rule that the row breaks.
        RequestRefused
            If the model cannot score the row (422), or nobody can now (503).
        """
        model = self._model()
        row = self.bodies.read_row(body) if len(body) <= SMALL else await self._beside(self.bodies.read_row, body)
        answer, answers = await self._score_row(model, row)
        content = answers.one(answer, new_prediction_id())
        score, now, reviewed = score_of(answer), now_us(), 0
        if self.review.active:
            reviewed = self.review.of(score, now)
            content["review"] = bool(reviewed)
        self.metrics.row(row, answer[0], score)
        await self._write_down([_record(row, content, answers, now, reviewed, visit)])
        if explain:
            answered = model is not None and answers is model.answers
            content |= await self._explaining.of(model, row) if model and answered else none("a fallback has answered")
        return content

    async def answer_rows(self, body: bytes, visit: Visit | None = None) -> bytes:
        """Answer a JSON array of rows with JSON; raises as `answer_row` does."""
        rows = await self._beside(self.bodies.read_rows, body)
        if not rows:
            return b'{"predictions":[]}'
        batch = await self.answer_batch(rows, visit)
        return await self._beside(write, {"predictions": batch.contents})

    async def answer_batch(self, rows: Sequence[Row], visit: Visit | None = None) -> Batch:
        """Answer rows that are validated, at least one; raises as `answer_row` does."""
        model = self._model()
        scores, answers = await self._slots.run(lambda: self._score_rows(model, rows))
        now, values = now_us(), scores_of(scores)
        batch, records = await self._beside(self._contents, rows, scores, answers, values.tolist(), now, visit)
        self.metrics.rows(rows, scores, values)
        await self._write_down(records)
        return batch

    async def close(self) -> None:
        """Answer what waits, end the threads, and write down what is not written yet."""
        await self.models.close()
        self._thread.shutdown()
        self._explaining.close()
        await asyncio.to_thread(self.log.close)

    async def _beside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do what takes long in the thread for batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _contents(
        self, rows: Sequence[Row], scores: Scores, answers: Answers, values: list[float], now: int, visit: Visit | None
    ) -> tuple[Batch, list[Prediction]]:
        """What each row is answered, and what is written down of it."""
        contents = answers.many(scores, new_prediction_ids(len(rows)))
        reviewed = [0] * len(rows)
        if self.review.active:
            reviewed = [int(self.review.of(value, now)) for value in values]
            for content, reason in zip(contents, reviewed, strict=True):
                content["review"] = bool(reason)
        records: list[Prediction] = []
        if self.log.settings.mode != "off":
            records = [
                _record(row, content, answers, now, reason, visit)
                for row, content, reason in zip(rows, contents, reviewed, strict=True)
            ]
        return Batch(scores, answers, contents), records

    async def _write_down(self, records: Sequence[Prediction]) -> None:
        """Hand answers to the log; in sync mode they are durable before anybody sees them."""
        if self.log.settings.mode == "sync":
            try:
                await self.log.append(records)
            except NotDurable as error:
                raise RequestRefused(503, str(error), "not_written") from error
        elif len(records) == 1:
            self.log.put(records[0])
        else:
            self.log.put_many(records)

    def _model(self) -> Model | None:
        """Return the current model; 503 if there is none and nobody to fall back on."""
        model = self.models.current
        if model is None and not any(link.name != "previous" for link in self._chain):
            raise RequestRefused(503, "the model is not loaded; see /health/ready", "not_ready")
        return model

    async def _score_row(self, model: Model | None, row: Row) -> tuple[RowAnswer, Answers]:
        """Ask the model, and whoever comes after it if it fails."""
        reason, kind = "the model is not loaded", "not_ready"
        if model is not None:
            try:
                answer = await model.scorer.score_row(row)
            except ValueError as error:
                raise not_scorable(error) from error
            except (QueueFull, Closed) as error:
                reason, kind = str(error), "busy"
            except Exception as error:  # noqa: BLE001 - whatever it is, there may be somebody else who can answer
                reason, kind = _failure(error), "failed"
            else:
                check_row(answer)
                return answer, model.answers
        [answer], answers = await self._fall_back([row], reason, kind)
        return answer, answers

    async def _score_rows(self, model: Model | None, rows: Sequence[Row]) -> tuple[Scores, Answers]:
        """Ask the model in a thread, and whoever comes after it if it fails, for all rows."""
        reason = "the model is not loaded"
        if model is not None:
            try:
                scores: Scores = await self._beside(model.scorer.score_rows, rows)
            except ValueError as error:
                raise not_scorable(error) from error
            except Exception as error:  # noqa: BLE001 - see above
                reason = _failure(error)
            else:
                check_rows(scores)
                return scores, model.answers
        answered, answers = await self._fall_back(rows, reason, "failed")
        return _joined(answered), answers

    async def _fall_back(self, rows: Sequence[Row], reason: str, kind: str) -> Answered:
        """Ask along the chain, for all rows; its end is a 503."""
        reasons = [reason]
        for link in self._chain:
            try:
                answered, answers = await link.score(rows)
                for answer in answered:
                    check_row(answer)
            except Exception as error:  # noqa: BLE001 - the next link may answer
                reasons.append(f"{link.name}: {_failure(error)}")
            else:
                self._quiet.say(logging.WARNING, f"answered by the fallback {link.name}: {'; '.join(reasons)}")
                self.metrics.fallback(link.name, len(rows))
                return answered, answers
        self._quiet.say(logging.ERROR, f"nobody answers: {'; '.join(reasons)}")
        self.metrics.fallback("none", len(rows))
        told = reason if kind == "busy" else "the model cannot answer now, and nothing else can; the log says why"
        raise RequestRefused(503, told, kind)


def _record(row: Row, content: Content, answers: Answers, now: int, reviewed: int, visit: Visit | None) -> Prediction:
    """One answer as a row of the log."""
    return Prediction(
        content["prediction_id"],
        now,
        answers.version,
        answers.digest,
        answers.path,
        row,
        content["prediction"],
        content.get("probabilities"),
        None if visit is None else int((perf_counter() - visit.began) * 1e6),
        None if visit is None else visit.trace.request_id.decode(),
        review=reviewed,
    )


def _failure(error: Exception) -> str:
    """Name an error without the values that it may hold: they would reach the log."""
    return str(error) if isinstance(error, SklineError) else f"failed with {type(error).__name__}"


def _joined(answers: Sequence[RowAnswer]) -> Scores:
    """Rows' answers as arrays; predictions stay plain values."""
    predictions = np.empty(len(answers), dtype=object)
    predictions[:] = [prediction for prediction, _ in answers]
    chances = [chances for _, chances in answers if chances is not None]
    return Scores(predictions, np.array(chances) if chances else None)
