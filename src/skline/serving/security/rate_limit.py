"""Limit how many requests each caller may send, counted in fixed windows: in this process, or in Redis for replicas.

Fixed windows are the cheapest strategy; around the change of a window a caller can send twice the rate. The count in
memory is a dictionary that is emptied when the window changes: the in-memory storage of the package `limits` starts a
thread for every hundredth of a second, which cost 9 µs of a request's 76. `limits` is imported for Redis only: its
import takes a tenth of the service's start.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from skline.serving import errors
from skline.serving.settings import parse_rate

log = logging.getLogger("skline.security")

#: Seconds that Redis may take for a count, and seconds that it is not called after a failure.
REDIS_TIMEOUT = 0.2
REDIS_BACKOFF = 5.0


class RateLimiter:
    """Count the requests of each caller in the current window.

    Parameters
    ----------
    rate : str
        Such as 100/second, 6000/minute, 100 per 5 minutes.
    store : str or None
        A redis:// URL. While Redis does not respond, this process counts its own requests and goes on.
    clock : callable
        Returns monotonic seconds.

    Attributes
    ----------
    uses_redis : bool
        Whether callers have to await `check_async` instead of calling `check`.
    rejected : int
        Requests over the rate.
    store_failures : int
        Requests that could not be counted in Redis.
    """

    def __init__(self, rate: str, store: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.uses_redis = store is not None
        self.rejected = self.store_failures = 0
        self._amount, self._seconds = parse_rate(rate)
        self._counts: dict[str, int] = {}
        self._window_ends = -math.inf
        self._clock, self._retry_redis_at = clock, -math.inf
        self._redis_failing = False
        self._redis = None if store is None else RedisCounter(store, self._amount, self._seconds)

    def check(self, caller: str) -> None:
        """Count a request in this process's memory.

        Raises
        ------
        RequestError
            429 if the caller's rate is used up.
        """
        now = self._clock()
        if now >= self._window_ends:
            self._counts.clear()
            self._window_ends = now + self._seconds
        count = self._counts[caller] = self._counts.get(caller, 0) + 1
        if count > self._amount:
            self.rejected += 1
            raise errors.rate_limited(self.rate, max(1, math.ceil(self._window_ends - now)))

    async def check_async(self, caller: str) -> None:
        """Count a request in Redis, or in memory while Redis does not respond; raises as `check` does."""
        if self._redis is None or self._clock() < self._retry_redis_at:
            self.store_failures += self._redis_failing
            self.check(caller)
            return
        try:
            async with asyncio.timeout(2 * REDIS_TIMEOUT):
                window_ends = await self._redis.count(caller)
        except (self._redis.failure, TimeoutError) as error:
            self._back_off(error)
            self.check(caller)
            return
        if self._redis_failing:
            self._redis_failing = False
            log.info("the rate limit's store responds again; counts are shared")
        if window_ends is not None:
            self.rejected += 1
            raise errors.rate_limited(self.rate, self._seconds_until(window_ends))

    async def close(self) -> None:
        """Close the connections to Redis, if there are any."""
        if self._redis is not None:
            await self._redis.close()

    def _back_off(self, error: Exception) -> None:
        """Stop calling Redis for a while; log the first failure, not every request's."""
        self.store_failures += 1
        self._retry_redis_at = self._clock() + REDIS_BACKOFF
        if not self._redis_failing:
            self._redis_failing = True
            log.error(
                "the rate limit's store does not respond (%s); each process counts its own requests and tries the "
                "store every %g s",
                type(getattr(error, "storage_error", error)).__name__,
                REDIS_BACKOFF,
            )

    def _seconds_until(self, window_ends: float) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        return max(1, min(math.ceil(window_ends - time.time()), self._seconds))


class RedisCounter:
    """Count requests in Redis, over connections with a timeout.

    Attributes
    ----------
    failure : type
        The exception that `count` raises if Redis does not respond.
    """

    def __init__(self, url: str, amount: int, seconds: int) -> None:
        from limits import RateLimitItemPerSecond
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import FixedWindowRateLimiter
        from limits.errors import StorageError
        from redis.asyncio import ConnectionPool

        self.failure = StorageError
        self._item = RateLimitItemPerSecond(amount, seconds)
        self._pool = ConnectionPool.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
        storage = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="skline",
            connection_pool=self._pool,  # type: ignore[arg-type] # missing from limits' annotation
        )
        self._window = FixedWindowRateLimiter(storage)

    async def count(self, caller: str) -> float | None:
        """Count a request.

        Returns
        -------
        float or None
            None if the request is within the rate, else when the window ends, in seconds since 1970.
        """
        if await self._window.hit(self._item, caller):
            return None
        return (await self._window.get_window_stats(self._item, caller)).reset_time

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def client_key(host: str) -> str:
    """Return what a client's requests are counted by: its address, or its /64 network if that is IPv6.

    One household has 2^64 IPv6 addresses.
    """
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
