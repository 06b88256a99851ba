"""Score the rows of concurrent requests together, as one frame in a thread: for pipelines that have no plan.

While nothing is being scored, a row is scored at once. While a batch is in the thread, arriving rows queue up and form
the next batch. Callers that send the next row when they get a result would split into two halves that alternate, each
paying for a batch of its own: so after a batch of several rows the next batch waits briefly for them. A row that the
pipeline rejects never fails the other rows of its batch.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from skline.contract.spec import Row
from skline.errors import SklineError
from skline.scoring.scores import RowScore, Scores

ScoreRows = Callable[[Sequence[Row]], Scores]
#: Receives a row's result, or the exception that the pipeline raises for it.
ResultCallback = Callable[[RowScore | Exception], None]

#: Upper limit of `wait`: waiting longer only adds latency.
MAX_WAIT_SECONDS = 0.002


class QueueFull(SklineError):
    """The queue holds as many rows as it may; the client should retry later."""


class BatcherClosed(SklineError):
    """The batcher is closed and accepts no more rows."""


@dataclass(eq=False)
class _QueuedRow:
    """A row with the function that receives its result."""

    row: Row
    on_result: ResultCallback


class MicroBatcher:
    """Collects rows and scores them in batches; to be used from one event loop.

    Parameters
    ----------
    score : callable
        Scores a sequence of rows, for instance with `score_with_pipeline`. It runs in one thread of its own.
    max_batch_size : int
        Maximum number of rows scored together.
    wait : float
        Seconds (0 to 0.002). After a batch of several rows the next one waits for their callers until no row has
        arrived for this long. A single caller never waits.
    max_queued_rows : int
        Maximum number of queued rows; further rows raise QueueFull.
    """

    def __init__(
        self, score: ScoreRows, *, max_batch_size: int = 256, wait: float = 0.0, max_queued_rows: int = 4096
    ) -> None:
        if not 0 <= wait <= MAX_WAIT_SECONDS:
            raise SklineError(
                f"wait={wait} seconds is outside 0 to {MAX_WAIT_SECONDS}; a longer wait only adds latency"
            )
        if max_batch_size < 1 or max_queued_rows < 1:
            raise SklineError(f"max_batch_size={max_batch_size} and max_queued_rows={max_queued_rows} must be >= 1")
        self._score = score
        self._max_batch_size = max_batch_size
        self._wait = wait
        self._max_queued_rows = max_queued_rows
        self._queue: deque[_QueuedRow] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="microbatch")
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def queued_rows(self) -> int:
        """Number of rows that wait for the batch in the thread to end."""
        return len(self._queue)

    def submit(self, row: Row, on_result: ResultCallback) -> _QueuedRow:
        """Queue a row; `on_result` is called in the event loop with its prediction and probabilities.

        Raises
        ------
        QueueFull
            If the queue is full.
        BatcherClosed
            After `close`.
        """
        if self._is_closed:
            raise BatcherClosed("the scorer is closed because the process is shutting down; use another replica")
        if len(self._queue) >= self._max_queued_rows:
            raise QueueFull(f"{self._max_queued_rows} rows are queued for scoring; retry later, or add replicas")
        queued = _QueuedRow(row, on_result)
        self._queue.append(queued)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._score_batches())
        return queued

    async def score(self, row: Row) -> RowScore:
        """Return the row's prediction and probabilities; raises as `submit`, and as the pipeline for this row."""
        result: asyncio.Future[RowScore] = asyncio.get_running_loop().create_future()
        queued = self.submit(row, partial(_resolve, result))
        try:
            return await result
        except asyncio.CancelledError:
            if queued in self._queue:
                self._queue.remove(queued)
            raise

    async def close(self) -> None:
        """Accept no more rows, score the queued ones, and end the thread."""
        self._is_closed = True
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        self._thread.shutdown()

    async def _score_batches(self) -> None:
        """Score batch after batch until the queue is empty."""
        # One iteration of the event loop, so that requests that are ready at the same moment share a batch.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._max_batch_size, len(self._queue)))]
            rows = [queued.row for queued in batch]
            try:
                results = await loop.run_in_executor(self._thread, self._score_rows, rows)
            except Exception as error:  # noqa: BLE001 (every caller must get a result, or it waits forever)
                results = [error] * len(batch)
            for queued, result in zip(batch, results, strict=True):
                queued.on_result(result)
            if len(batch) > 1 and self._wait:
                await self._wait_for_rows(min(self._max_batch_size, len(batch) + len(self._queue)))

    async def _wait_for_rows(self, expected: int) -> None:
        """Wait until `expected` rows are queued, or none has arrived for `wait` seconds.

        The first wait is not counted: during it the event loop sends the responses that those callers wait for.
        """
        await asyncio.sleep(self._wait)
        previous = -1
        while previous < len(self._queue) < expected:
            previous = len(self._queue)
            await asyncio.sleep(self._wait)

    def _score_rows(self, rows: Sequence[Row]) -> list[RowScore | Exception]:
        """Score rows together, or one by one if that fails: then only the rejected rows get the exception."""
        try:
            return _split(self._score(rows), len(rows))
        except Exception as error:  # noqa: BLE001 (the caller gets it as its result)
            if len(rows) == 1:
                return [error]
        return [result for row in rows for result in self._score_rows([row])]


def _split(scores: Scores, count: int) -> list[RowScore | Exception]:
    """Convert scores to one result a row."""
    predictions = scores.predictions.tolist()
    if len(predictions) != count:
        raise SklineError(
            f"the pipeline returned {len(predictions)} predictions for {count} rows; it must return one a row"
        )
    if scores.probabilities is None:
        return [(prediction, None) for prediction in predictions]
    return list(zip(predictions, map(tuple, scores.probabilities.tolist()), strict=True))


def _resolve(future: asyncio.Future[RowScore], result: RowScore | Exception) -> None:
    """Set the result of a future, unless its caller has cancelled it."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
