"""uvicorn's HTTP, with one system call for an answer instead of two.

uvicorn writes an answer's head and its body one after the other, and each write goes to the socket at once. For
an answer as short as a prediction those two calls are a third of all the time it takes. Here the head waits for
the body, as ASGI allows, and they go out together.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.connections import MOST_HEAD_BYTES, MOST_HEADERS, MOST_OVERHEAD_BYTES, STATE, Connections


class Joining:
    """A transport that holds an answer's head until what comes after it is written.

    A head is known by its beginning and its end; 100 Continue is none, as nothing may come after it for long.
    Everything but writing and closing is the inner transport's own.
    """

    __slots__ = ("_head", "_inner")

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send data, after the head if one is held; hold it if it is a head."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1":
            self._head = data
            return
        self._inner.write(data)

    def close(self) -> None:
        """Send the head if one is held, and close."""
        if self._head:
            self.write(b"")
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner transport's."""
        return getattr(self._inner, name)


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a joining transport; its connections are counted and watched by the application's."""

    #: Of the application; None where it keeps no count.
    _connections: Connections | None = None
    #: The request whose head, or body's end, has not come yet, and how many bytes of it were no body's.
    _begun: object = None
    _overhead = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(Joining(transport))  # type: ignore[arg-type]
        self._connections = self.app_state.get(STATE)
        if self._connections is not None:
            self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
        if self._connections is not None:
            self._connections.remove(self)

    def data_received(self, data: bytes) -> None:
        """Read what has come. The parser would keep a head, or a line after a body, that never ends."""
        super().data_received(data)
        scope = self.scope
        if scope is None or self._connections is None:
            return
        # uvicorn knows the method when a head is whole.
        if "method" not in scope:
            self._count(len(data), MOST_HEAD_BYTES)
        elif self.cycle is not None and self.cycle.more_body:
            self._count(len(data) - len(self.cycle.body), MOST_OVERHEAD_BYTES)

    def _count(self, size: int, most: int) -> None:
        """Count bytes of an unfinished request that are no body's; what came with its beginning is not known."""
        if self._begun is not self.scope:
            self._begun, self._overhead = self.scope, 0
        elif size > 0:
            self._overhead += size
        if (self._overhead > most or len(self.headers) > MOST_HEADERS) and self._connections is not None:
            self._connections.too_big(self)
