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


def as_bytes(method: str, path: str, body: bytes) -> bytes:
    """Write a request down."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(address: httpx.URL, mix: list[bytes], count: int) -> set[int]:
    """Send `count` requests by clients that keep their connections, as fast as they are answered; the statuses."""

    async def one(start: int) -> set[int]:
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

    found = await asyncio.gather(*(one(7 * number) for number in range(CLIENTS)))
    return set().union(*found)


@pytest.mark.slow
def test_after_warming_up_100_000_requests_take_no_more_memory(
    packaged: demo.Packaged, example: dict[str, object]
) -> None:
    with process(packaged) as (running, client):
        mix, sizes = [as_bytes(*one) for one in requests(example)], []
        for _ in range(WINDOWS):
            statuses = asyncio.run(ask(client.base_url, mix, REQUESTS // WINDOWS))
            assert statuses == {200, 404, 422}
            sizes.append(resident(running.pid))
    early, late = statistics.median(sizes[4:8]), statistics.median(sizes[-4:])
    print(f"MiB after each {REQUESTS // WINDOWS:,} requests: {[round(size) for size in sizes]}")
    # A leak of 100 bytes a request would be 7 MiB.
    assert late - early < 5, sizes
