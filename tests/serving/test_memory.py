"""A service that runs for long does not grow."""

import asyncio
import statistics
from pathlib import Path

import httpx
import orjson
import pytest

from tests import demo
from tests.serving.test_drain import process

REQUESTS, CLIENTS, WINDOWS = 100_000, 8, 20


def resident(pid: int) -> float:
    """Memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def requests(example: dict[str, object]) -> list[tuple[str, str, bytes]]:
    """Requests of every kind, good and bad, in the proportion in which they are sent."""
    row, rows = orjson.dumps(example), orjson.dumps([example] * 20)
    records = orjson.dumps({"dataframe_records": [example] * 5})
    label = orjson.dumps([{"prediction_id": "x", "label": True}])
    return [
        *[("POST", "/predict", row)] * 12,
        ("POST", "/predict/batch", rows),
        ("POST", "/invocations", records),
        ("POST", "/labels", label),
        ("POST", "/predict", b"{}"),
        ("POST", "/predict", b"no JSON"),
        ("GET", "/health/ready", b""),
        ("GET", "/nothing", b""),
        ("GET", "/v2", b""),
    ]


async def ask(url: str, mix: list[tuple[str, str, bytes]], count: int) -> set[int]:
    """Send `count` requests by clients that keep their connections; the statuses."""

    async def one(client: httpx.AsyncClient, start: int) -> set[int]:
        return {
            (await client.request(method, path, content=body or None)).status_code
            for method, path, body in (mix[index % len(mix)] for index in range(start, start + count // CLIENTS))
        }

    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        found = await asyncio.gather(*(one(client, 7 * number) for number in range(CLIENTS)))
    return set().union(*found)


@pytest.mark.slow
def test_after_warming_up_100_000_requests_take_no_more_memory(
    packaged: demo.Packaged, example: dict[str, object]
) -> None:
    with process(packaged) as (running, client):
        mix, sizes = requests(example), []
        for _ in range(WINDOWS):
            statuses = asyncio.run(ask(str(client.base_url), mix, REQUESTS // WINDOWS))
            assert statuses == {200, 404, 422}
            sizes.append(resident(running.pid))
    early, late = statistics.median(sizes[4:8]), statistics.median(sizes[-4:])
    print(f"MiB after each {REQUESTS // WINDOWS:,} requests: {[round(size) for size in sizes]}")
    # A leak of 100 bytes a request would be 7 MiB.
    assert late - early < 5, sizes
