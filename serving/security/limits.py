"""How often one caller may ask, and how many requests are worked on at a time.

Rates are counted in fixed windows, the cheapest strategy: in this process's memory, or by `limits` in Redis
for several replicas. Around the change of a window a caller can get through twice the rate.

The count in memory is a dictionary that is emptied when the window changes. The library's own starts a thread
for every hundredth of a second, which cost 9 µs of a request's 76; it would do for slower services.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

from serving.security import refusals
from serving.security.rate import parse
from serving.security.settings import LimitSettings

log = logging.getLogger("skline.security")
Result = TypeVar("Result")

#: How long Redis may take for a count, and how long it is left alone after it failed, in seconds.
PATIENCE = 0.2
REST = 5.0


class RateLimiter:
    """Requests of one caller in a window of time.

    Parameters
    ----------
    rate : str
        Such as 100/second, 6000/minute, 100 per 5 minutes.
    store : str or None
        A redis:// URL. While Redis does not answer, this process counts alone and requests go on.

    Attributes
    ----------
    remote : bool
        Whether `check_remote` is to be awaited instead of calling `check`.
    refused : int
        Requests over the rate.
    store_failures : int
        Requests whose count could not be kept in Redis.
    """

    def __init__(self, rate: str, store: str | None = None, ticks: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.remote = store is not None
        self.refused = self.store_failures = 0
        self._amount, self._seconds = parse(rate)
        self._counts: dict[str, int] = {}
        self._window_ends = -math.inf
        self._ticks, self._rest_until = ticks, -math.inf
        self._failing = False
        self._there: Remote | None = None if store is None else Remote(store, self._amount, self._seconds)

    async def close(self) -> None:
        """Close the connections to Redis, if there are any."""
        if self._there is not None:
            await self._there.close()

    def check(self, caller: str) -> None:
        """Count a request in this process's memory; Refused (429) if it is one too many."""
        now = self._ticks()
        if now >= self._window_ends:
            self._counts.clear()
            self._window_ends = now + self._seconds
        count = self._counts[caller] = self._counts.get(caller, 0) + 1
        if count > self._amount:
            self.refused += 1
            raise refusals.too_often(self.rate, max(1, math.ceil(self._window_ends - now)))

    async def check_remote(self, caller: str) -> None:
        """Count a request in Redis, or here while Redis does not answer; Refused (429) if it is one too many."""
        if self._there is None or self._ticks() < self._rest_until:
            self.store_failures += self._failing
            self.check(caller)
            return
        try:
            async with asyncio.timeout(2 * PATIENCE):
                reset = await self._there.count(caller)
        except (self._there.failure, TimeoutError) as error:
            self._failed(error)
            self.check(caller)
            return
        if self._failing:
            self._failing = False
            log.info("the rate limit's store answers again; counts are shared")
        if reset is not None:
            self.refused += 1
            raise refusals.too_often(self.rate, self._seconds_to(reset))

    def _failed(self, error: Exception) -> None:
        """Leave Redis alone for a while; say so when it begins, not at every request."""
        self.store_failures += 1
        self._rest_until = self._ticks() + REST
        if not self._failing:
            self._failing = True
            log.error(
                "the rate limit's store does not answer (%s); each process counts alone, asking it again every %g s",
                type(getattr(error, "storage_error", error)).__name__,
                REST,
            )

    def _seconds_to(self, reset: float) -> int:
        """Whole seconds until the window ends, at least 1."""
        return max(1, min(math.ceil(reset - time.time()), self._seconds))


class Remote:
    """Counts in Redis, over connections that give up in time.

    Attributes
    ----------
    failure : type
        What `count` raises if Redis does not answer.
    """

    def __init__(self, url: str, amount: int, seconds: int) -> None:
        from limits import RateLimitItemPerSecond
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import FixedWindowRateLimiter
        from limits.errors import StorageError
        from redis.asyncio import ConnectionPool

        self.failure = StorageError
        self._item = RateLimitItemPerSecond(amount, seconds)
        self._pool = ConnectionPool.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        storage = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="skline",
            connection_pool=self._pool,  # type: ignore[arg-type] # limits' annotation forgets it
        )
        self._window = FixedWindowRateLimiter(storage)

    async def count(self, caller: str) -> float | None:
        """Count a request; return None if it is within the rate, else when the window ends, in seconds since 1970."""
        if await self._window.hit(self._item, caller):
            return None
        return (await self._window.get_window_stats(self._item, caller)).reset_time

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class Slots:
    """Requests that are worked on at a time, and the few that may wait for their turn.

    Attributes
    ----------
    working, waiting : int
        Requests that hold a slot, and that wait for one.
    turned_away : int
        Requests that found no room, or waited too long.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.concurrent)
        self.working = self.waiting = self.turned_away = 0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold a slot for the time of the block.

        Raises
        ------
        Refused
            503 with Retry-After if too many wait already, or after `wait_seconds`.
        """
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()  # does not wait
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self._free.release()

    async def _wait(self) -> None:
        if self.waiting >= self._settings.waiting:
            self.turned_away += 1
            raise refusals.busy("as many requests as allowed are waiting already; ask again soon", "queue_full")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            self.turned_away += 1
            words = f"no turn within {self._settings.wait_seconds:g} s; ask again soon"
            raise refusals.busy(words, "queue_timeout") from None
        finally:
            self.waiting -= 1

    async def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` in a slot and within the request's time.

        A thread that `work` started cannot be stopped: it goes on, without a slot, until it is done.

        Raises
        ------
        Refused
            503 with Retry-After if there is no slot, or if `work` takes longer than `request_seconds`.
        """
        async with self.held():
            return await self.in_time(work)

    async def in_time(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` within the request's time, without a slot; raises as `run` does."""
        limit = asyncio.timeout(self._settings.request_seconds)
        try:
            async with limit:
                return await work()
        except TimeoutError:
            if not limit.expired():
                raise
            words = f"not answered within {self._settings.request_seconds:g} s; send smaller batches"
            raise refusals.busy(words, "request_timeout") from None


def of_address(host: str) -> str:
    """Name a client by its address, an IPv6 client by its /64 network: one household has 2^64 addresses."""
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
