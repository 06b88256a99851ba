"""Only so many requests are processed at a time; others wait for a slot, up to a limit in number and time."""

import asyncio
from typing import Any

import pytest

from skline.serving.errors import RequestError
from skline.serving.security.concurrency import ConcurrencyLimiter

RETRY = ("retry-after", "1")


def limiter(max_running: int = 2, **changes: Any) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(max_running, **({"max_waiting": 3, "wait_seconds": 5, "request_seconds": 5} | changes))


async def outcome(work: Any) -> Any:
    """Return the result of some work, or status, kind and headers of its rejection."""
    try:
        return await work
    except RequestError as rejection:
        return rejection.status, rejection.kind, *rejection.headers.items()


def test_two_requests_run_three_wait_and_the_rest_are_rejected() -> None:
    async def drill() -> None:
        gate, limit = asyncio.Event(), limiter()
        most_running = 0

        async def work() -> str:
            nonlocal most_running
            most_running = max(most_running, limit.running)
            await gate.wait()
            return "done"

        tasks = [asyncio.create_task(outcome(limit.run(work))) for _ in range(8)]
        await asyncio.sleep(0.05)
        assert (limit.running, limit.waiting) == (2, 3)
        gate.set()
        results = await asyncio.gather(*tasks)
        assert results == ["done"] * 5 + [(503, "queue_full", RETRY)] * 3
        assert (most_running, limit.running, limit.waiting, limit.rejected) == (2, 0, 0, 3)

    asyncio.run(drill())


def test_waiting_and_running_time_out_and_release_their_slots() -> None:
    async def drill() -> None:
        limit = limiter(1, wait_seconds=0.05, request_seconds=0.2)

        async def never_return() -> None:
            await asyncio.sleep(60)

        first, second = await asyncio.gather(outcome(limit.run(never_return)), outcome(limit.run(never_return)))
        assert (first, second) == ((503, "request_timeout", RETRY), (503, "queue_timeout", RETRY))

        async def raise_own_timeout() -> None:
            raise TimeoutError("of the work itself")

        with pytest.raises(TimeoutError, match="of the work itself"):
            await limit.run(raise_own_timeout)
        async with limit.slot():
            assert limit.running == 1
        assert limit.running == 0

    asyncio.run(drill())


def test_a_cancelled_request_leaves_the_queue() -> None:
    async def drill() -> None:
        limit = limiter(1)
        async with limit.slot():
            waiting = asyncio.create_task(limit.run(lambda: asyncio.sleep(0)))
            await asyncio.sleep(0.01)
            assert limit.waiting == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert limit.waiting == 0
        async with limit.slot():
            pass

    asyncio.run(drill())
