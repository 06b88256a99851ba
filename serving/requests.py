"""What routes take out of a request. Plain calls: resolving them as dependencies costs more than a prediction."""

from fastapi import Request
from starlette.requests import ClientDisconnect

from serving.errors import RequestRefused


async def read_body(request: Request, limit: int) -> bytes:
    """Read the request's body of at most `limit` bytes.

    Raises
    ------
    RequestRefused
        413 for a body beyond the limit, as soon as that is known; 422 for an empty one.
    ClientDisconnect
        If the client goes away before all of it came.
    """
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        content: bytes = message.get("body", b"")
        if len(content) > limit:
            raise _too_large(limit)
    else:
        content = await _read_parts(request, message.get("body", b""), limit, message["type"])
    if not content:
        raise RequestRefused(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    return content


async def _read_parts(request: Request, first: bytes, limit: int, kind: str) -> bytes:
    """Read a body that comes in several parts."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    content, more = bytearray(first), True
    while True:
        if kind == "http.disconnect":
            raise ClientDisconnect
        if len(content) > limit:
            raise _too_large(limit)
        if not more:
            return bytes(content)
        message = await request.receive()
        kind, more = message["type"], message.get("more_body", False)
        content += message.get("body", b"")


def _too_large(limit: int) -> RequestRefused:
    """Say the limit."""
    return RequestRefused(413, f"the body is larger than {limit} bytes; send a smaller batch", "body_too_large")
