"""The way for pipelines that cannot be planned: rows of concurrent requests scored as one frame, in a thread.

While nothing is being scored, a row is scored at once. While a batch is in the thread, those that come
gather, and the next batch takes them all. Callers that ask again as soon as they are answered would fall into
two halves that take turns, each paying for a batch of its own: so after a batch of several rows the next one
waits a moment for them. One bad row never fails its neighbours.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from skline.contract.spec import Value
from skline.errors import SklineError
from skline.scoring.answers import RowAnswer, Scores

Row = Mapping[str, Value]
ScoreRows = Callable[[Sequence[Row]], Scores]


class QueueFull(SklineError):
    """More rows wait than the queue may hold; the caller should be told to come back later."""


class Closed(SklineError):
    """The batcher is closed, and takes no more rows."""


#: Takes a row's answer, or the exception that the pipeline raises on it.
Done = Callable[[RowAnswer | Exception], None]


@dataclass(eq=False)
class _Waiting:
    """A row and who takes its answer."""

    row: Row
    done: Done


class MicroBatcher:
    """Gathers rows and scores them together; to be used from one event loop.

    Parameters
    ----------
    score : callable
        Scores a sequence of rows, for instance with `score_with_pipeline`. It runs in one thread of its own.
    largest_batch : int
        Rows scored together.
    wait : float
        Seconds (0 to 0.002) without another row after which a batch that follows one of several rows no longer
        waits for those callers to ask again. A caller who is alone never waits.
    queue : int
        Rows that may wait; more are refused with QueueFull.
    """

    def __init__(self, score: ScoreRows, *, largest_batch: int = 256, wait: float = 0.0, queue: int = 4096) -> None:
        if not 0 <= wait <= 0.002:
            raise SklineError(f"wait={wait} seconds is outside 0 to 0.002; a longer wait only adds to the latency")
        if largest_batch < 1 or queue < 1:
            raise SklineError(f"largest_batch={largest_batch} and queue={queue} must be at least 1")
        self._score = score
        self._largest = largest_batch
        self._wait = wait
        self._queue = queue
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="microbatch")
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Rows that wait for the batch in the thread to end."""
        return len(self._waiting)

    def submit(self, row: Row, done: Done) -> _Waiting:
        """Take a row; `done` is called in the event loop with its prediction and probabilities.

        Raises
        ------
        QueueFull
            If too many rows wait already.
        Closed
            After `close`.
        """
        if self._closed:
            raise Closed("the scorer is closed, the process is shutting down; ask another replica")
        if len(self._waiting) >= self._queue:
            raise QueueFull(f"{self._queue} rows wait to be scored; try again later, or add replicas")
        waiting = _Waiting(row, done)
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return waiting

    async def score(self, row: Row) -> RowAnswer:
        """Return the row's prediction and probabilities; raises as `submit` does, and as the pipeline on this row."""
        answer: asyncio.Future[RowAnswer] = asyncio.get_running_loop().create_future()
        waiting = self.submit(row, partial(_settle, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise

    async def close(self) -> None:
        """Take no more rows, score those that wait, and end the thread."""
        self._closed = True
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        self._thread.shutdown()

    async def _work(self) -> None:
        """Score batch after batch until none waits."""
        # One turn of the loop: requests that are ready at the same moment share a batch.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
            rows = [waiting.row for waiting in batch]
            try:
                answers = await loop.run_in_executor(self._thread, self._answers, rows)
            except Exception as error:  # noqa: BLE001 (whoever waits must hear of it, or waits for ever)
                answers = [error] * len(batch)
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.done(answer)
            if len(batch) > 1 and self._wait:
                await self._gather(min(self._largest, len(batch) + len(self._waiting)))

    async def _gather(self, expected: int) -> None:
        """Wait for so many rows, as long as more keep coming.

        The first pause does not count: in it the loop sends the answers that those callers wait for.
        """
        await asyncio.sleep(self._wait)
        before = -1
        while before < len(self._waiting) < expected:
            before = len(self._waiting)
            await asyncio.sleep(self._wait)

    def _answers(self, rows: Sequence[Row]) -> list[RowAnswer | Exception]:
        """Score rows together, or one by one if that fails: then only the bad ones get the exception."""
        try:
            return _split(self._score(rows), len(rows))
        except Exception as error:  # noqa: BLE001 (it is handed to whoever asked)
            if len(rows) == 1:
                return [error]
        return [answer for row in rows for answer in self._answers([row])]


def _split(scores: Scores, count: int) -> list[RowAnswer | Exception]:
    """Scores as one plain answer a row."""
    predictions = scores.predictions.tolist()
    if len(predictions) != count:
        raise SklineError(f"the pipeline gave {len(predictions)} predictions for {count} rows; it must keep rows apart")
    if scores.probabilities is None:
        return [(prediction, None) for prediction in predictions]
    return list(zip(predictions, map(tuple, scores.probabilities.tolist()), strict=True))


def _settle(future: asyncio.Future[RowAnswer], answer: RowAnswer | Exception) -> None:
    """Give an answer to whoever still waits for it."""
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
