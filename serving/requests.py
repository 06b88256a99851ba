"""What routes take out of a request. Plain calls: resolving them as dependencies costs more than a prediction."""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Iterable
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from serving.errors import RequestRefused
from serving.room import Room
from serving.security.guard import Visit


def visit_of(request: Request) -> Visit | None:
    """What the guard knows of a request; None if it did not come through the guard."""
    visit: Visit | None = request.scope.get("state", {}).get("visit")
    return visit


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Read the request's body of at most `limit` bytes, which must come within `seconds`.

    Raises
    ------
    RequestRefused
        413 for a body beyond the limit, as soon as that is known; 408 if it comes too slowly; 415 if it is
        compressed; 422 if it is empty; 503 if all bodies together take too much.
    ClientDisconnect
        If the client goes away before all of it came.
    """
    reading = _read(request, limit)
    try:
        # What has come already is taken without a clock: setting and clearing one takes longer than all of this.
        waits_for = reading.send(None)
    except StopIteration as whole:
        content: bytes = whole.value
    else:
        content = await _in_time(Begun(reading, waits_for), seconds)
    check_body(content, request.scope["headers"])
    return content


def check_body(content: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a body that is empty or compressed."""
    if not content:
        raise RequestRefused(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    for name, encoding in headers:
        if name == b"content-encoding" and encoding != b"identity":
            words = f"bodies in the encoding {encoding[:40].decode('latin-1')!r} are not read; send them plain"
            raise RequestRefused(415, words, "encoding")


class Begun(Awaitable[bytes]):
    """A coroutine that has run up to where it waits; awaiting this goes on with it."""

    def __init__(self, coroutine: Coroutine[Any, Any, bytes], waits_for: Any) -> None:
        self._coroutine, self._waits_for = coroutine, waits_for

    def __await__(self) -> Generator[Any, Any, bytes]:
        """Hand on what it waits for, and what comes of that."""
        waits_for = self._waits_for
        try:
            while True:
                try:
                    sent = yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation too is the coroutine's to see
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(sent)
        except StopIteration as whole:
            content: bytes = whole.value
            return content


async def _in_time(reading: Awaitable[bytes], seconds: float) -> bytes:
    """Wait for a body; 408 if it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError:
        words = f"the body did not come within {seconds:g} s; send it faster, or in smaller batches"
        raise RequestRefused(408, words, "slow_body", {"connection": "close"}) from None


async def _read(request: Request, limit: int) -> bytes:
    """Read all parts of a body; most have one."""
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    room: Room = request.app.state.room
    share = room.share(request.scope["state"])
    content = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        if len(content) + len(part) > limit:
            raise _too_large(limit)
        share.take(len(part))
        content += part
        if not message.get("more_body", False):
            return bytes(content)
        message = await request.receive()


def _too_large(limit: int) -> RequestRefused:
    """Say the limit; what is left of the body is not read, so the connection cannot go on."""
    words = f"the body is larger than {limit} bytes; send a smaller batch"
    return RequestRefused(413, words, "body_too_large", {"connection": "close"})
