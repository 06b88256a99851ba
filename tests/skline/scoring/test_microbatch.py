"""The batcher under a real event loop and a real thread; events, never clocks, order what happens."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from skline.errors import SklineError
from skline.scoring.answers import Scores
from skline.scoring.microbatch import Closed, MicroBatcher, QueueFull, Row


class Doubler:
    """Scores x as 2 x; remembers its batches; raises on x < 0; waits for `gate` if it is shut."""

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


async def shut_in(batcher: MicroBatcher, doubler: Doubler) -> "asyncio.Task[Any]":
    """Hold one row in the thread, so that others gather."""
    doubler.gate.clear()
    doubler.entered.clear()
    task = asyncio.create_task(batcher.score({"x": 0}))
    await asyncio.to_thread(doubler.entered.wait, 10)
    return task


def test_an_idle_batcher_scores_at_once() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        assert await batcher.score({"x": 4}) == (8.0, (0.996, 0.004))
        assert await batcher.score({"x": 5}) == (10.0, (0.995, 0.005))
        assert doubler.batches == [[4], [5]]
        await batcher.close()

    asyncio.run(run())


def test_rows_gather_while_a_batch_is_in_the_thread() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, largest_batch=4)
        first = await shut_in(batcher, doubler)
        rest = [asyncio.create_task(batcher.score({"x": x})) for x in range(1, 8)]
        await asyncio.sleep(0)
        doubler.gate.set()
        answers = await asyncio.gather(first, *rest)
        assert [answer[0] for answer in answers] == [2.0 * x for x in range(8)]
        assert doubler.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
        await batcher.close()

    asyncio.run(run())


@pytest.mark.parametrize("wait", [0.0, 0.002])
def test_requests_of_the_same_moment_share_a_batch(wait: float) -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, wait=wait)
        await asyncio.gather(*(batcher.score({"x": x}) for x in range(50)))
        assert doubler.batches == [list(range(50))]
        await batcher.close()

    asyncio.run(run())


def test_a_bad_row_fails_alone() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        found = await asyncio.gather(*(batcher.score({"x": x}) for x in (1, -1, 2)), return_exceptions=True)
        assert found[0] == (2.0, (0.999, 0.001))
        assert isinstance(found[1], ValueError)
        assert found[2] == (4.0, (0.998, 0.002))
        await batcher.close()

    asyncio.run(run())


def test_a_full_queue_refuses() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, queue=2)
        tasks = [await shut_in(batcher, doubler)]
        tasks += [asyncio.create_task(batcher.score({"x": x})) for x in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="2 rows wait"):
            await batcher.score({"x": 3})
        doubler.gate.set()
        assert [answer[0] for answer in await asyncio.gather(*tasks)] == [0.0, 2.0, 4.0]
        await batcher.close()

    asyncio.run(run())


def test_a_cancelled_row_leaves_the_others_alone() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        first = await shut_in(batcher, doubler)
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


def test_closing_scores_what_waits_and_refuses_the_rest() -> None:
    async def run() -> None:
        doubler = Doubler()
        batcher = MicroBatcher(doubler)
        first = await shut_in(batcher, doubler)
        second = asyncio.create_task(batcher.score({"x": 1}))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Closed):
            await batcher.score({"x": 2})
        doubler.gate.set()
        await closing
        assert ((await first)[0], (await second)[0]) == (0.0, 2.0)
        await batcher.close()

    asyncio.run(run())


def test_a_pipeline_that_loses_rows_is_an_error() -> None:
    async def run() -> None:
        batcher = MicroBatcher(lambda rows: Scores(np.zeros(0), None))
        with pytest.raises(SklineError, match="0 predictions for 1 rows"):
            await batcher.score({"x": 1})
        await batcher.close()

    asyncio.run(run())


@pytest.mark.parametrize("settings", [{"wait": 0.1}, {"wait": -1.0}, {"largest_batch": 0}, {"queue": 0}])
def test_settings_out_of_range(settings: dict[str, Any]) -> None:
    with pytest.raises(SklineError):
        MicroBatcher(Doubler(), **settings)
