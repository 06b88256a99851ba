"""From a request body to an answer: validate rows, score them, count them, write them down."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serving.answers import Answers, Content, check_row, check_rows, not_scorable, score_of, scores_of
from serving.bodies import SMALL, Bodies, Row
from serving.errors import RequestRefused
from serving.explaining import Explaining, none
from serving.fallbacks import Chain, build_chain, failure, joined
from serving.metrics import Metrics
from serving.model import Model
from serving.models import Models
from serving.records import Batch, Read, Unanswered, Writer, as_json, batch_of, no_rows, record, records_of_one
from serving.review import Review
from serving.security.guard import Visit
from serving.security.limits import Slots
from serving.settings import ServiceSettings
from serving.together import Together
from serving.trials import Trials
from skline.logs.answered import Answered
from skline.logs.records import Prediction, new_prediction_id, new_prediction_ids, now_us
from skline.logs.writer import NotDurable, PredictionLog
from skline.scoring.answers import FloatArray, RowAnswer, Scores
from skline.scoring.microbatch import Closed, QueueFull

log = logging.getLogger("skline.serving")

Result = TypeVar("Result")


class Predictor:
    """Answers requests by the models of a service, and by its fallbacks where they fail."""

    def __init__(
        self, models: Models, settings: ServiceSettings, metrics: Metrics, slots: Slots, written: PredictionLog
    ) -> None:
        self.models, self.metrics = models, metrics
        self.bodies = Bodies(models.first.contract, settings.max_batch_rows)
        self.review = Review(settings.review)
        self.log = written
        self._slots = slots
        self._explaining = Explaining(slots)
        self._chain = Chain(build_chain(settings.fallback, models), metrics)
        self._trials = Trials(self, settings)
        self.together = Together(self)
        self.logs, self.waits_for_log = written.settings.mode != "off", written.settings.mode == "sync"
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
        row = self.bodies.read_row(body) if len(body) <= SMALL else await self.beside(self.bodies.read_row, body)
        return await self.answer_read(model, row, visit, explain=explain)

    async def answer_read(
        self, model: Model | None, row: Row, visit: Visit | None, *, explain: bool = False
    ) -> Content:
        """Answer a row that is validated; raises as `answer_row` does."""
        if model is not None and model.trial is not None:
            return await self._trials.answer_row(model, model.trial, row, visit, explain=explain)
        answer, answers = await self.score_row(model, row)
        content, written = self.answered(row, answer, answers, visit)
        if written is not None:
            await self.write_down([written])
        if explain:
            content |= await self.explained(model if model and answers is model.answers else None, row)
        return content

    async def answer_rows(self, body: bytes, visit: Visit | None = None) -> bytes:
        """Answer a JSON array of rows with JSON; raises as `answer_row` does."""
        return (await self._answer_batch(lambda: self.bodies.read_rows(body), visit, as_json)).written

    async def answer_batch(self, rows: Sequence[Row], visit: Visit | None = None) -> Batch:
        """Answer rows that are validated; raises as `answer_row` does."""
        return await self._answer_batch(lambda: rows, visit, None)

    async def _answer_batch(self, read: Read, visit: Visit | None, write: Writer | None) -> Batch:
        """Read, score and answer rows, in one go in the thread for batches if the model does not fail."""
        model = self._model()
        if model is not None and model.trial is not None:
            rows = await self.beside(read)
            return await self._trials.answer_batch(model, model.trial, rows, visit, write)
        batch = await self._slots.run(lambda: self.beside(self._read_and_score, read, model, visit, write))
        if isinstance(batch, Unanswered):
            answered, answers = await self._chain.ask(batch.rows, batch.reason, "failed")
            batch = await self.beside(self._batch, batch.rows, joined(answered), answers, visit, write)
        await self.finish(batch)
        return batch

    async def finish(self, batch: Batch) -> None:
        """Count the rows of a batch, and write them down."""
        if batch.tallied is not None:
            self.metrics.rows(batch.tallied, source="request")
            await self.write_down(batch.records)

    @property
    def reviews(self) -> bool:
        """Whether predictions are sent to people now: by the settings, and by the release."""
        return self.review.active and self.models.flags.review

    async def explained(self, model: Model | None, row: Row) -> dict[str, Any]:
        """What an answer says of its reasons; `model` gave it, or a fallback if that is None."""
        if not self.models.flags.explain:
            return none("explanations are switched off for now")
        return none("a fallback has answered") if model is None else await self._explaining.of(model, row)

    async def in_turn(self, score: Callable[[Sequence[Row]], Scores], rows: Sequence[Row]) -> Scores:
        """Score many rows in the thread for batches, in a slot."""
        return await self._slots.run(lambda: self.beside(score, rows))

    async def score_rows(self, model: Model | None, rows: Sequence[Row]) -> tuple[Scores, Answers]:
        """Ask the model for many rows in a slot, and whoever comes after it if it fails."""
        return await self._slots.run(lambda: self._score_rows(model, rows))

    async def close(self) -> None:
        """Answer what waits, end the threads, and write down what is not written yet."""
        await self.together.close()
        await self.models.close()
        self._thread.shutdown()
        self._explaining.close()
        await asyncio.to_thread(self.log.close)

    async def beside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do what takes long in the thread for batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def answered(
        self, row: Row, answer: RowAnswer, answers: Answers, visit: Visit | None
    ) -> tuple[Content, Prediction | None]:
        """What a row is answered, and what is written down of it if anything is; it is counted."""
        content = answers.one(answer, new_prediction_id())
        score, now, reviewed = score_of(answer), now_us(), 0
        if self.reviews:
            reviewed = self.review.of(score, now)
            content["review"] = bool(reviewed)
        self.metrics.row(row, answer[0], score)
        return content, record(row, content, answers, now, reviewed, visit) if self.logs else None

    def _read_and_score(
        self, read: Read, model: Model | None, visit: Visit | None, write: Writer | None
    ) -> Batch | Unanswered:
        """Read rows, ask the model, and answer them."""
        rows = read()
        if not rows and model is not None:
            return no_rows(model.answers, write)
        asked = self._ask(model, rows)
        return asked if isinstance(asked, Unanswered) else self._batch(rows, *asked, visit, write)

    def _ask(self, model: Model | None, rows: Sequence[Row]) -> tuple[Scores, Answers] | Unanswered:
        """Ask the model for many rows."""
        if model is None:
            return Unanswered(rows, "the model is not loaded")
        try:
            scores = model.scorer.score_rows(rows)
        except ValueError as error:
            raise not_scorable(error) from error
        except Exception as error:  # noqa: BLE001 - whatever it is, there may be somebody else who can answer
            return Unanswered(rows, failure(error))
        check_rows(scores)
        return scores, model.answers

    def _batch(
        self, rows: Sequence[Row], scores: Scores, answers: Answers, visit: Visit | None, write: Writer | None
    ) -> Batch:
        """What rows are answered, and what is written down of them."""
        now, values = now_us(), scores_of(scores)
        contents = answers.many(scores, new_prediction_ids(len(rows)))
        reviewed = self.reviewed(contents, values, now)
        tallied = self.metrics.tally(rows, scores, values)
        written: Sequence[Prediction] | Answered = []
        if self.logs:
            written = records_of_one(rows, contents, answers, now, reviewed, visit, whole=self.log.whole)
        return batch_of(scores, answers, contents, written, write, tallied)

    def reviewed(self, contents: Sequence[Content], values: FloatArray, now: int) -> Sequence[int]:
        """Say of each answer whether it is reviewed, and return why."""
        if not self.reviews:
            return [0] * len(contents)
        reasons = [int(self.review.of(value, now)) for value in values.tolist()]
        for content, reason in zip(contents, reasons, strict=True):
            content["review"] = bool(reason)
        return reasons

    async def write_down(self, records: Sequence[Prediction] | Answered) -> None:
        """Hand answers to the log; in sync mode they are durable before anybody sees them."""
        if isinstance(records, Answered):
            self.log.put_answered(records)
        elif self.waits_for_log:
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
        if model is None and not self._chain.stands_alone:
            raise RequestRefused(503, "the model is not loaded; see /health/ready", "not_ready")
        return model

    async def score_row(self, model: Model | None, row: Row) -> tuple[RowAnswer, Answers]:
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
                reason, kind = failure(error), "failed"
            else:
                check_row(answer)
                return answer, model.answers
        [answer], answers = await self._chain.ask([row], reason, kind)
        return answer, answers

    async def _score_rows(self, model: Model | None, rows: Sequence[Row]) -> tuple[Scores, Answers]:
        """Ask the model in a thread, and whoever comes after it if it fails, for all rows."""
        asked = await self.beside(self._ask, model, rows)
        if not isinstance(asked, Unanswered):
            return asked
        answered, answers = await self._chain.ask(rows, asked.reason, "failed")
        return joined(answered), answers
