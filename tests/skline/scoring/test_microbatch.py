"""The batcher in a real event loop with a real thread; events, never clocks, determine the order."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from skline.errors import SklineError
from skline.scoring.microbatch import BatcherClosed, MicroBatcher, QueueFull, Row
from skline.scoring.scores import Scores


class Doubler:
    """Scores x as 2 x, records its batches, raises on x < 0, and waits until `gate` is set."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, rows: Sequence[Row]) -> Scores:
        values = [row["x"] for row in rows]
        self.batches.append(values)
        self.entered.set()
        assert self.gate.wait(10)
        numbers = np.array(values, dtype=np.float64)
        if (numbers < 0).any():
            raise ValueError("negative")
        return Scores(numbers * 2, np.column_stack([1 - numbers / 1000, numbers / 1000]))


async def hold_in_thread(batcher: MicroBatcher, doubler: Doubler) -> "asyncio.Task[Any]":
    """Keep the thread busy with one row, so that others queue up."""
    doubler.gate.clear()
    doubler.entered.clear()
    task = asyncio.create_task(batcher.score({"x": 0}))
    await asyncio.to_thread(doubler.entered.wait, 10)
    return task


def test_single_row_is_scored_at_once() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        assert await batcher.score({"x": 4}) == (8.0, (0.996, 0.004))
        assert await batcher.score({"x": 5}) == (10.0, (0.995, 0.005))
        assert doubler.batches == [[4], [5]]
        await batcher.close()

    asyncio.run(run())


def test_rows_queue_up_while_a_batch_is_in_the_thread() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, max_batch_size=4)
        first = await hold_in_thread(batcher, doubler)
        rest = [asyncio.create_task(batcher.score({"x": x})) for x in range(1, 8)]
        await asyncio.sleep(0)
        doubler.gate.set()
        results = await asyncio.gather(first, *rest)
        assert [result[0] for result in results] == [2.0 * x for x in range(8)]
        assert doubler.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
        await batcher.close()

    asyncio.run(run())


@pytest.mark.parametrize("wait", [0.0, 0.002])
def test_concurrent_rows_share_a_batch(wait: float) -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, wait=wait)
        await asyncio.gather(*(batcher.score({"x": x}) for x in range(50)))
        assert doubler.batches == [list(range(50))]
        await batcher.close()

    asyncio.run(run())


def test_rejected_row_does_not_fail_the_others_of_its_batch() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        results = await asyncio.gather(*(batcher.score({"x": x}) for x in (1, -1, 2)), return_exceptions=True)
        assert results[0] == (2.0, (0.999, 0.001))
        assert isinstance(results[1], ValueError)
        assert results[2] == (4.0, (0.998, 0.002))
        await batcher.close()

    asyncio.run(run())


def test_row_is_rejected_when_the_queue_is_full() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, max_queued_rows=2)
        tasks = [await hold_in_thread(batcher, doubler)]
        tasks += [asyncio.create_task(batcher.score({"x": x})) for x in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="2 rows are queued"):
            await batcher.score({"x": 3})
        doubler.gate.set()
        assert [result[0] for result in await asyncio.gather(*tasks)] == [0.0, 2.0, 4.0]
        await batcher.close()

    asyncio.run(run())


def test_cancelled_row_is_removed_from_the_queue() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        first = await hold_in_thread(batcher, doubler)
        second, third = (asyncio.create_task(batcher.score({"x": x})) for x in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.wait([first, second])
        assert first.cancelled()
        assert second.cancelled()
        doubler.gate.set()
        assert (await third)[0] == 4.0
        assert doubler.batches == [[0], [2]]
        assert (await batcher.score({"x": 3}))[0] == 6.0
        await batcher.close()

    asyncio.run(run())


def test_close_scores_queued_rows_and_rejects_new_ones() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        first = await hold_in_thread(batcher, doubler)
        second = asyncio.create_task(batcher.score({"x": 1}))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(BatcherClosed):
            await batcher.score({"x": 2})
        doubler.gate.set()
        await closing
        assert ((await first)[0], (await second)[0]) == (0.0, 2.0)
        await batcher.close()

    asyncio.run(run())


def test_pipeline_that_returns_too_few_predictions_is_an_error() -> None:
    async def run() -> None:
        batcher = MicroBatcher(lambda rows: Scores(np.zeros(0), None))
        with pytest.raises(SklineError, match="0 predictions for 1 rows"):
            await batcher.score({"x": 1})
        await batcher.close()

    asyncio.run(run())


@pytest.mark.parametrize("settings", [{"wait": 0.1}, {"wait": -1.0}, {"max_batch_size": 0}, {"max_queued_rows": 0}])
def test_settings_out_of_range_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(SklineError):
        MicroBatcher(Doubler(), **settings)
