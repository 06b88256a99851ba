"""Score rows by a model and, where the model fails, by the fallbacks."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from skline.contract.spec import Row
from skline.scoring.microbatch import BatcherClosed, QueueFull
from skline.scoring.scores import RowScore, Scores
from skline.serving.models.model import LoadedModel
from skline.serving.models.response import ResponseBuilder, check_row, check_rows, not_scorable
from skline.serving.prediction.fallbacks import FallbackChain, describe_failure, to_scores
from skline.serving.security.concurrency import ConcurrencyLimiter

Result = TypeVar("Result")


@dataclass(frozen=True)
class Unscored:
    """Rows that the model did not score, and why."""

    rows: Sequence[Row]
    reason: str


class ScoringWithFallback:
    """Scores rows by a model, and by the fallbacks if there is no model or it fails.

    All results are finite, and come with the builder of their responses: the model's own or a fallback's.

    Parameters
    ----------
    fallbacks : FallbackChain
    limiter : ConcurrencyLimiter
        Batches take one of its slots.

    Attributes
    ----------
    works_without_model : bool
        Whether a fallback can predict before any model is loaded.
    """

    def __init__(self, fallbacks: FallbackChain, limiter: ConcurrencyLimiter) -> None:
        self.works_without_model = fallbacks.works_without_model
        self._fallbacks, self._limiter = fallbacks, limiter
        # One thread: two batches would compete for the interpreter with each other, and with single rows.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batch")

    async def score_row(self, model: LoadedModel | None, row: Row) -> tuple[RowScore, ResponseBuilder]:
        """Score one row.

        Raises
        ------
        RequestError
            422 if the model cannot score the row, 503 if the model and all fallbacks fail.
        """
        reason, error_type = "the model is not loaded", "not_ready"
        if model is not None:
            try:
                scored = await model.scorer.score_row(row)
            except ValueError as error:
                raise not_scorable(error) from error
            except (QueueFull, BatcherClosed) as error:
                reason, error_type = str(error), "busy"
            except Exception as error:  # noqa: BLE001 - a fallback may succeed
                reason, error_type = describe_failure(error), "failed"
            else:
                check_row(scored)
                return scored, model.response_builder
        [scored], builder = await self._fallbacks.score([row], reason, error_type)
        return scored, builder

    async def score_rows(self, model: LoadedModel | None, rows: Sequence[Row]) -> tuple[Scores, ResponseBuilder]:
        """Score many rows in a slot; raises as `score_row` does, and 503 if there is no slot."""
        return await self._limiter.run(lambda: self._score_rows(model, rows))

    def score_by_model(
        self, model: LoadedModel | None, rows: Sequence[Row]
    ) -> tuple[Scores, ResponseBuilder] | Unscored:
        """Score many rows without fallback. It blocks: call it in the batch thread."""
        if model is None:
            return Unscored(rows, "the model is not loaded")
        try:
            scores = model.scorer.score_rows(rows)
        except ValueError as error:
            raise not_scorable(error) from error
        except Exception as error:  # noqa: BLE001 - a fallback may succeed
            return Unscored(rows, describe_failure(error))
        check_rows(scores)
        return scores, model.response_builder

    async def score_by_fallback(self, unscored: Unscored) -> tuple[Scores, ResponseBuilder]:
        """Score the rows that `score_by_model` could not; RequestError (503) if all fallbacks fail."""
        predictions, builder = await self._fallbacks.score(unscored.rows, unscored.reason, "failed")
        return to_scores(predictions), builder

    async def run_in_slot(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run blocking work in the batch thread, in a slot and within the request timeout."""
        return await self._limiter.run(lambda: self.run_in_batch_thread(work, *arguments))

    async def run_in_batch_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run blocking work in the batch thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """End the batch thread."""
        self._thread.shutdown()

    async def _score_rows(self, model: LoadedModel | None, rows: Sequence[Row]) -> tuple[Scores, ResponseBuilder]:
        result = await self.run_in_batch_thread(self.score_by_model, model, rows)
        return await self.score_by_fallback(result) if isinstance(result, Unscored) else result
