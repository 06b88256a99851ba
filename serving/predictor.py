"""From a request body to an answer: validate rows, score them, count them, write them down."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serving.answers import Answers, Content, check_row, check_rows, not_scorable, score_of, scores_of, write
from serving.bodies import Bodies, Row
from serving.errors import RequestRefused
from serving.explaining import Explaining, none
from serving.fallbacks import Chain, build_chain, failure, joined
from serving.metrics import Metrics
from serving.model import Model
from serving.models import Models
from serving.records import Batch, record
from serving.review import Review
from serving.security.guard import Visit
from serving.security.limits import Slots
from serving.settings import ServiceSettings
from serving.trials import Trials
from skline.logs.records import Prediction, new_prediction_id, new_prediction_ids, now_us
from skline.logs.writer import NotDurable, PredictionLog
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.microbatch import Closed, QueueFull

Result = TypeVar("Result")


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
        self._chain = Chain(build_chain(settings.fallback, models), metrics)
        self._trials = Trials(self, settings)
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
        row = self.bodies.read_row(body)
        if model is not None and model.trial is not None:
            return await self._trials.answer_row(model, model.trial, row, visit, explain=explain)
        answer, answers = await self.score_row(model, row)
        content = answers.one(answer, new_prediction_id())
        score, now, reviewed = score_of(answer), now_us(), 0
        if self.review.active and self.models.flags.review:
            reviewed = self.review.of(score, now)
            content["review"] = bool(reviewed)
        self.metrics.row(row, answer[0], score)
        await self.write_down([record(row, content, answers, now, reviewed, visit)])
        if explain:
            content |= await self.explained(model if model and answers is model.answers else None, row)
        return content

    async def answer_rows(self, body: bytes, visit: Visit | None = None) -> bytes:
        """Answer a JSON array of rows with JSON; raises as `answer_row` does."""
        rows = await self.beside(self.bodies.read_rows, body)
        if not rows:
            return b'{"predictions":[]}'
        batch = await self.answer_batch(rows, visit)
        return await self.beside(write, {"predictions": batch.contents})

    async def answer_batch(self, rows: Sequence[Row], visit: Visit | None = None) -> Batch:
        """Answer rows that are validated, at least one; raises as `answer_row` does."""
        model = self._model()
        if model is not None and model.trial is not None:
            return await self._trials.answer_batch(model, model.trial, rows, visit)
        scores, answers = await self.score_rows(model, rows)
        now, values = now_us(), scores_of(scores)
        batch, records = await self.beside(self._contents, rows, scores, answers, values.tolist(), now, visit)
        self.metrics.rows(rows, scores, values)
        await self.write_down(records)
        return batch

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
        await self.models.close()
        self._thread.shutdown()
        self._explaining.close()
        await asyncio.to_thread(self.log.close)

    async def beside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do what takes long in the thread for batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _contents(
        self, rows: Sequence[Row], scores: Scores, answers: Answers, values: list[float], now: int, visit: Visit | None
    ) -> tuple[Batch, list[Prediction]]:
        """What each row is answered, and what is written down of it."""
        contents = answers.many(scores, new_prediction_ids(len(rows)))
        reviewed = [0] * len(rows)
        if self.reviews:
            reviewed = [int(self.review.of(value, now)) for value in values]
            for content, reason in zip(contents, reviewed, strict=True):
                content["review"] = bool(reason)
        records: list[Prediction] = []
        if self.log.settings.mode != "off":
            records = [
                record(row, content, answers, now, reason, visit)
                for row, content, reason in zip(rows, contents, reviewed, strict=True)
            ]
        return Batch(scores, answers, contents), records

    async def write_down(self, records: Sequence[Prediction]) -> None:
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
        reason = "the model is not loaded"
        if model is not None:
            try:
                scores: Scores = await self.beside(model.scorer.score_rows, rows)
            except ValueError as error:
                raise not_scorable(error) from error
            except Exception as error:  # noqa: BLE001 - see above
                reason = failure(error)
            else:
                check_rows(scores)
                return scores, model.answers
        answered, answers = await self._chain.ask(rows, reason, "failed")
        return joined(answered), answers
