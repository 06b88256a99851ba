"""Limit how many requests are processed at a time, and how many may wait for that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from skline.serving import errors

Result = TypeVar("Result")


class ConcurrencyLimiter:
    """Hand out slots for processing requests, with a short queue and with timeouts.

    Parameters
    ----------
    max_running, max_waiting : int
        Requests that may hold a slot at a time, and that may wait for one.
    wait_seconds, request_seconds : float
        Longest wait for a slot, and longest time for the work itself.

    Attributes
    ----------
    running, waiting : int
        Requests that hold a slot, and that wait for one.
    rejected : int
        Requests that found the queue full, or waited too long.
    """

    def __init__(self, max_running: int, max_waiting: int, wait_seconds: float, request_seconds: float) -> None:
        self._max_waiting, self._wait_seconds, self._request_seconds = max_waiting, wait_seconds, request_seconds
        self._slots = asyncio.Semaphore(max_running)
        self.running = self.waiting = self.rejected = 0

    async def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` in a slot and within the request timeout.

        A thread that `work` started cannot be stopped: it runs on, without a slot, until it is done.

        Raises
        ------
        RequestError
            503 with Retry-After if there is no slot, or if `work` takes longer than `request_seconds`.
        """
        async with self.slot():
            return await self.with_timeout(work)

    async def with_timeout(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` within the request timeout, without a slot; raises as `run` does."""
        limit = asyncio.timeout(self._request_seconds)
        try:
            async with limit:
                return await work()
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"the request took longer than {self._request_seconds:g} s; send smaller batches"
            raise errors.overloaded(message, "request_timeout") from None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot for the duration of the block.

        Raises
        ------
        RequestError
            503 with Retry-After if too many requests wait already, or after `wait_seconds`.
        """
        if self._slots.locked():
            await self._wait()
        else:
            await self._slots.acquire()  # returns without waiting
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._slots.release()

    async def _wait(self) -> None:
        if self.waiting >= self._max_waiting:
            self.rejected += 1
            raise errors.overloaded("the queue for requests is full; retry", "queue_full")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            self.rejected += 1
            message = f"the request waited {self._wait_seconds:g} s for a free slot; retry"
            raise errors.overloaded(message, "queue_timeout") from None
        finally:
            self.waiting -= 1
