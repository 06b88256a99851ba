"""Request ids and W3C trace context (https://www.w3.org/TR/trace-context/).

A caller's X-Request-ID is kept if it is valid, otherwise a new one is generated; the response returns it. A valid
`traceparent` is continued: log lines and `traceresponse` have its trace id and a span id of this request.
"""

import re
from contextvars import ContextVar
from typing import Any

from skline.ids import RandomHex

_new_span_id, _new_request_id = RandomHex(8), RandomHex(16)
_VALID_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}").fullmatch
# Version 00 ends after the flags; later versions may have more fields after another dash.
_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
).fullmatch


class Trace:
    """Ids that connect a response to its log lines: the request's id (bytes) and, if sent, the caller's trace."""

    __slots__ = ("parent_id", "request_id", "sampled", "span_id", "trace_id")

    def __init__(self, request_id: bytes, traceparent: "re.Match[bytes] | None" = None) -> None:
        self.request_id = request_id
        self.trace_id = self.parent_id = self.span_id = self.sampled = ""
        if traceparent is not None:
            self.trace_id, self.parent_id = traceparent[2].decode(), traceparent[3].decode()
            self.span_id = _new_span_id()
            self.sampled = "01" if int(traceparent[4], 16) & 1 else "00"

    def response(self) -> bytes:
        """Return the value of the header `traceresponse`; empty if the caller sent no trace."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled}".encode() if self.trace_id else b""

    def fields(self) -> dict[str, Any]:
        """Return the fields of log lines."""
        request_id = self.request_id.decode()
        if not self.trace_id:
            return {"request_id": request_id}
        return {
            "request_id": request_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
        }


#: The trace of the request that the current task handles.
CURRENT_TRACE: ContextVar[Trace | None] = ContextVar("skline_trace", default=None)


def start_trace(request_id: bytes, traceparent: bytes) -> Trace:
    """Start the trace of a request from its two headers, empty if not sent, and make it the current one.

    CURRENT_TRACE is not reset at the end: the server runs each request's task in its own context.
    """
    if not (request_id and _VALID_ID(request_id)):
        request_id = _new_request_id().encode()
    parent = None
    if traceparent:
        parent = _TRACEPARENT(traceparent)
        if parent is not None and parent[1] == b"00" and parent[5] is not None:
            parent = None
    trace = Trace(request_id, parent)
    CURRENT_TRACE.set(trace)
    return trace
