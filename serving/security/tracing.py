"""Request ids and W3C trace context (https://www.w3.org/TR/trace-context/).

A caller's X-Request-ID is kept if it is sane, otherwise there is a new one; the answer says it either way.
A valid `traceparent` is taken up: log lines and `traceresponse` name its trace and this request's own span.
"""

import re
from contextvars import ContextVar
from typing import Any

from skline.randomness import RandomHex

_SPANS, _REQUESTS = RandomHex(8), RandomHex(16)
_SANE = re.compile(rb"[A-Za-z0-9._\-]{1,64}").fullmatch
# Version 00 ends after the flags; later versions may go on after another dash.
_PARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch


class Trace:
    """What ties an answer to its log lines: the request's id (bytes), and its trace if the caller has one."""

    __slots__ = ("parent_id", "request_id", "sampled", "span_id", "trace_id")

    def __init__(self, request_id: bytes, parent: "re.Match[bytes] | None" = None) -> None:
        self.request_id = request_id
        self.trace_id = self.parent_id = self.span_id = self.sampled = ""
        if parent is not None:
            self.trace_id, self.parent_id = parent[2].decode(), parent[3].decode()
            self.span_id = _SPANS()
            self.sampled = "01" if int(parent[4], 16) & 1 else "00"

    def response(self) -> bytes:
        """The value of `traceresponse`, empty if the caller sent no trace."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled}".encode() if self.trace_id else b""

    def fields(self) -> dict[str, Any]:
        """What log lines say of it."""
        request_id = self.request_id.decode()
        if not self.trace_id:
            return {"request_id": request_id}
        return {
            "request_id": request_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
        }


#: The request that this task works on.
CURRENT: ContextVar[Trace | None] = ContextVar("skline_trace", default=None)


def begin(request_id: bytes, traceparent: bytes) -> Trace:
    """Start a request's trace from its two headers, empty if not sent, and make it the current one.

    The server runs each request's task in a context of its own, so there nothing needs to be undone.
    """
    if not (request_id and _SANE(request_id)):
        request_id = _REQUESTS().encode()
    parent = None
    if traceparent:
        parent = _PARENT(traceparent)
        if parent is not None and parent[1] == b"00" and parent[5] is not None:
            parent = None
    trace = Trace(request_id, parent)
    CURRENT.set(trace)
    return trace
