"""A complete request, as the fast path passes it from the connection to the application."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from skline.serving.security.context import RequestContext
from skline.serving.transport.responses import JSONBytesResponse


class BufferedRequest:
    """A request whose head and body have arrived completely, with the function that sends its response.

    Attributes
    ----------
    scope : dict
        ASGI's scope, with `headers`, `http_version`, `client` and `server` only.
    body : bytes
    context : RequestContext
        Set when the lifecycle of the request starts.
    received_at : float
        `time.perf_counter()` when its last byte was read.
    responded : bool
    """

    __slots__ = ("_send", "body", "context", "received_at", "responded", "scope")

    context: RequestContext

    def __init__(self, scope: Mapping[str, Any], body: bytes, send: Callable[[JSONBytesResponse], None]) -> None:
        self.scope, self.body, self._send = scope, body, send
        self.received_at = perf_counter()
        self.responded = False

    def respond(self, response: JSONBytesResponse) -> None:
        """Send the response. Call this once per request: `responded` is true afterwards."""
        self.responded = True
        self._send(response)


#: Responds to a request with a JSON body, or with the response for an error.
Reply = Callable[[BufferedRequest, bytes | Exception], None]
