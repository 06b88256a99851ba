"""From a request body to an answer: validate rows, score them, count them, write JSON."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serving.answers import Answers, check_row, check_rows, new_ids, not_scorable
from serving.bodies import Bodies, Row
from serving.errors import RequestRefused
from serving.fallbacks import Answered, build_chain
from serving.metrics import Metrics
from serving.models import Model, Models
from serving.settings import ServiceSettings
from skline.errors import SklineError
from skline.scoring.answers import RowAnswer, Scores
from skline.scoring.microbatch import Closed, QueueFull

log = logging.getLogger("skline.serving")


class Predictor:
    """Answers requests by the models of a service, and by its fallbacks where they fail."""

    def __init__(self, models: Models, settings: ServiceSettings, metrics: Metrics) -> None:
        self.models = models
        self.metrics = metrics
        self.bodies = Bodies(models.first.contract, settings.max_batch_rows)
        self._chain = build_chain(settings.fallback, models)
        # Batches take turns: they would only contend for the interpreter, and single rows with them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")

    async def answer_row(self, body: bytes) -> bytes:
        """Answer a JSON object with a JSON object.

        Raises
        ------
        pydantic.ValidationError
            Naming the field and the rule that the row breaks.
        RequestRefused
            If the model cannot score the row (422), or nobody can now (503).
        """
        model = self._model()
        row = self.bodies.read_row(body)
        answer, answers = await self._score_row(model, row)
        self.metrics.row(row, answer)
        return answers.one(answer, new_ids(1)[0])

    async def answer_rows(self, body: bytes) -> bytes:
        """Answer a JSON array of rows; raises as `answer_row` does."""
        model, loop = self._model(), asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._thread, self.bodies.read_rows, body)
        if not rows:
            return b'{"predictions":[]}'
        scores, answers = await self._score_rows(model, rows)
        self.metrics.rows(rows, scores)
        return await loop.run_in_executor(self._thread, answers.many, scores, new_ids(len(rows)))

    async def close(self) -> None:
        """Answer what waits, and end the threads."""
        await self.models.close()
        self._thread.shutdown()

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
        """Ask the model in a thread; if it fails, whoever comes after it, row by row."""
        reason = "the model is not loaded"
        if model is not None:
            loop = asyncio.get_running_loop()
            try:
                scores = await loop.run_in_executor(self._thread, model.scorer.score_rows, rows)
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
                log.warning("answered by the fallback %s: %s", link.name, "; ".join(reasons))
                self.metrics.fallback(link.name, len(rows))
                return answered, answers
        log.error("nobody answers: %s", "; ".join(reasons))
        self.metrics.fallback("none", len(rows))
        told = reason if kind == "busy" else "the model cannot answer now, and nothing else can; the log says why"
        raise RequestRefused(503, told, kind)


def _failure(error: Exception) -> str:
    """Name an error without the values that it may hold: they would reach the log."""
    return str(error) if isinstance(error, SklineError) else f"failed with {type(error).__name__}"


def _joined(answers: Sequence[RowAnswer]) -> Scores:
    """Rows' answers as arrays; predictions stay plain values."""
    predictions = np.empty(len(answers), dtype=object)
    predictions[:] = [prediction for prediction, _ in answers]
    chances = [chances for _, chances in answers if chances is not None]
    return Scores(predictions, np.array(chances) if chances else None)
