"""Score rows by a model and, where the model fails, by the fallbacks."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
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
    """Rows that the model did not score, and why; `error_type` is busy, failed, or not_ready."""

    rows: Sequence[Row]
    reason: str
    error_type: str = "failed"


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
        result = await self.score_row_by_model(model, row)
        if not isinstance(result, Unscored):
            return result
        return await self.score_row_by_fallback(result)

    async def score_row_by_model(
        self, model: LoadedModel | None, row: Row
    ) -> tuple[RowScore, ResponseBuilder] | Unscored:
        """Score one row without fallback; RequestError (422) if the model cannot score the row."""
        if model is None:
            return Unscored([row], "the model is not loaded", "not_ready")
        try:
            scored = await model.scorer.score_row(row)
        except ValueError as error:
            raise not_scorable(error) from error
        except (QueueFull, BatcherClosed) as error:
            return Unscored([row], str(error), "busy")
        except Exception as error:  # noqa: BLE001 - a fallback may succeed
            return Unscored([row], describe_failure(error))
        check_row(scored)
        return scored, model.response_builder

    async def score_row_by_fallback(self, unscored: Unscored) -> tuple[RowScore, ResponseBuilder]:
        """Score the row that `score_row_by_model` could not; RequestError (503) if all fallbacks fail."""
        [scored], builder = await self._fallbacks.score(unscored.rows, unscored.reason, unscored.error_type)
        return scored, builder

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
        predictions, builder = await self._fallbacks.score(unscored.rows, unscored.reason, unscored.error_type)
        return to_scores(predictions), builder

    async def run_in_slot(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run blocking work in the batch thread, in a slot and within the request timeout."""
        return await self._limiter.run(lambda: self.run_in_batch_thread(work, *arguments))

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold a slot for the duration of a block; RequestError (503) if there is none."""
        return self._limiter.slot()

    async def run_within_timeout(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run blocking work in the batch thread, within the request timeout; the caller holds a slot."""
        return await self._limiter.with_timeout(lambda: self.run_in_batch_thread(work, *arguments))

    async def run_in_batch_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run blocking work in the batch thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """End the batch thread."""
        self._thread.shutdown()
