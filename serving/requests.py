"""What routes take out of a request. Plain calls: resolving them as dependencies costs more than a prediction."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from serving.errors import RequestRefused
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
        compressed; 422 if it is empty.
    ClientDisconnect
        If the client goes away before all of it came.
    """
    try:
        async with asyncio.timeout(seconds):
            content = await _read(request, limit)
    except TimeoutError:
        words = f"the body did not come within {seconds:g} s; send it faster, or in smaller batches"
        raise RequestRefused(408, words, "slow_body", {"connection": "close"}) from None
    if not content:
        raise RequestRefused(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    for name, encoding in request.scope["headers"]:
        if name == b"content-encoding" and encoding != b"identity":
            words = f"bodies in the encoding {encoding[:40].decode('latin-1')!r} are not read; send them plain"
            raise RequestRefused(415, words, "encoding")
    return content


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
    content = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(content)
        message = await request.receive()


def _too_large(limit: int) -> RequestRefused:
    """Say the limit; what is left of the body is not read, so the connection cannot go on."""
    words = f"the body is larger than {limit} bytes; send a smaller batch"
    return RequestRefused(413, words, "body_too_large", {"connection": "close"})
