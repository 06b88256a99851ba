"""Read request bodies within their limits.

Plain functions that routes call: resolving them as FastAPI dependencies takes longer than a prediction.
"""

import asyncio
from collections.abc import Mapping

from fastapi import Request
from starlette.requests import ClientDisconnect

from skline.serving.errors import RequestError
from skline.serving.security.context import RequestContext, headers_by_name
from skline.serving.transport.body_budget import BodyBudget

#: Content types that say nothing of the body, which is then read as JSON: none, and that of `curl -d` and other tools
#: if none is set. A browser sends the latter across sites too, but with an Origin, which the guard checks.
UNSPECIFIC_TYPES = frozenset((b"", b"application/x-www-form-urlencoded"))
JSON_TYPES = UNSPECIFIC_TYPES | {b"application/json"}
BATCH_TYPES = JSON_TYPES | {b"text/csv"}


async def read_body(request: Request, limit: int, seconds: float, types: frozenset[bytes] = JSON_TYPES) -> bytes:
    """Read the request's body.

    Parameters
    ----------
    request : Request
    limit : int
        Maximum size in bytes.
    seconds : float
        Time within which the whole body must arrive.
    types : frozenset of bytes
        Content types that the route accepts, in lower case and without parameters; the empty one if there is none.

    Raises
    ------
    RequestError
        413 for a body larger than `limit`, before the rest of it is read; 408 if it arrives too slowly; 415 if it is
        compressed or of another content type; 400 for a transfer coding besides `chunked`; 422 if it is empty; 503 if
        the memory budget for all bodies is exhausted.
    ClientDisconnect
        If the client disconnects before the whole body has arrived.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _receive_body(request, limit)
    except TimeoutError:
        message = f"the body did not arrive within {seconds:g} s; send it faster, or in smaller batches"
        raise RequestError(408, message, "body_timeout", {"connection": "close"}) from None
    check_body(body, headers_by_name(request.scope["headers"]), types)
    return body


def check_body(body: bytes, headers: Mapping[bytes, bytes], types: frozenset[bytes] = JSON_TYPES) -> None:
    """Reject a body that is empty (422), compressed, or of a content type that is none of `types` (415).

    The parser reads the chunks of a body whose last transfer coding is `chunked`, and ignores other codings before it:
    they are rejected (400), because a proxy in front may decode the body.

    Parameters
    ----------
    body : bytes
    headers : mapping of bytes to bytes
        From `headers_by_name`.
    types : frozenset of bytes
        See `read_body`.
    """
    if not body:
        raise RequestError(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.strip(b" \t,").lower() != b"chunked":
        message = f"Transfer-Encoding {_quote(coding)} is not supported; send the body as it is, or chunked"
        raise RequestError(400, message, "unsupported_transfer_coding", {"connection": "close"})
    encoding = headers.get(b"content-encoding")
    if encoding is not None and not _is_plain(encoding):
        message = f"Content-Encoding {_quote(encoding)} is not supported; send the body uncompressed"
        raise RequestError(415, message, "unsupported_encoding")
    content_type = headers.get(b"content-type", b"")
    if content_type not in types and media_type(content_type) not in types:
        names = " or ".join(sorted(name.decode() for name in types - UNSPECIFIC_TYPES))
        message = f"Content-Type {_quote(content_type)} is not supported here; send {names}"
        raise RequestError(415, message, "unsupported_media_type")


def media_type(content_type: bytes) -> bytes:
    """Return a Content-Type in lower case, without its parameters."""
    return content_type.partition(b";")[0].strip().lower()


def _quote(value: bytes) -> str:
    return repr(value[:40].decode("latin-1"))


def _is_plain(encoding: bytes) -> bool:
    """Whether a Content-Encoding names no coding but `identity`, in any case (RFC 9110, 8.4)."""
    return all(coding.strip().lower() in (b"", b"identity") for coding in encoding.split(b","))


def context_of(request: Request) -> RequestContext | None:
    """Return the context that the Dispatcher has set for the request; None if FastAPI was called without it."""
    context: RequestContext | None = request.scope.get("state", {}).get("context")
    return context


async def _receive_body(request: Request, limit: int) -> bytes:
    """Receive all parts of a body; most bodies have one."""
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    budget: BodyBudget = request.app.state.container.body_budget
    reservation = budget.open_reservation(request.scope["state"])
    content = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        if len(content) + len(part) > limit:
            raise _too_large(limit)
        reservation.reserve(len(part))
        content += part
        if not message.get("more_body", False):
            return bytes(content)
        message = await request.receive()


def _too_large(limit: int) -> RequestError:
    """Return a 413 that closes the connection, because the rest of the body is not read."""
    message = f"the body is larger than {limit} bytes; send a smaller batch"
    return RequestError(413, message, "body_too_large", {"connection": "close"})
