"""The memory of a long-running service does not grow."""

import asyncio
import statistics

import httpx
import orjson
import pytest

from tests.fixtures import demo
from tests.fixtures.memory import resident_mib
from tests.fixtures.raw_http import build_request
from tests.fixtures.server import process

REQUESTS, CLIENTS, WINDOWS = 100_000, 8, 20


def request_mix(example: dict[str, object]) -> list[tuple[str, str, bytes]]:
    """Return valid and invalid requests of every kind, in the proportion in which they are sent."""
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


async def send_requests(address: httpx.URL, mix: list[bytes], count: int) -> set[int]:
    """Send `count` requests over kept connections, each after the last response; return the statuses."""

    async def run_client(start: int) -> set[int]:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        statuses = set()
        for index in range(start, start + count // CLIENTS):
            writer.write(mix[index % len(mix)])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            statuses.add(int(head[9:12]))
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.close()
        await writer.wait_closed()
        return statuses

    return set().union(*await asyncio.gather(*(run_client(7 * number) for number in range(CLIENTS))))


@pytest.mark.slow
def test_memory_does_not_grow_over_100_000_requests(packaged: demo.Packaged, example: dict[str, object]) -> None:
    with process(packaged) as (running, client):
        mix = [build_request(body, path, method=method) for method, path, body in request_mix(example)]
        sizes = []
        for _ in range(WINDOWS):
            statuses = asyncio.run(send_requests(client.base_url, mix, REQUESTS // WINDOWS))
            assert statuses == {200, 404, 422}
            sizes.append(resident_mib(running.pid))
    early, late = statistics.median(sizes[4:8]), statistics.median(sizes[-4:])
    print(f"MiB after each {REQUESTS // WINDOWS:,} requests: {[round(size) for size in sizes]}")
    # A leak of 100 bytes per request would be 7 MiB.
    assert late - early < 5, sizes
