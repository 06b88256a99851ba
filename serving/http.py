"""uvicorn's HTTP, with one system call for an answer instead of two.

uvicorn writes an answer's head and its body one after the other, and each write goes to the socket at once. For
an answer as short as a prediction those two calls are a third of all the time it takes. Here what is written in
one turn of the event loop goes out together.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Gathering:
    """A transport that holds what is written until the end of the event loop's turn.

    Everything else is the inner transport's own.
    """

    __slots__ = ("_held", "_inner", "_loop")

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Hold data; the first of a turn sees to it that they are sent."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._send()
        self._inner.close()

    def _send(self) -> None:
        """Send what is held, if it was not sent meanwhile."""
        if self._held:
            held, self._held = self._held, []
            self._inner.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner transport's."""
        return getattr(self._inner, name)


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a gathering transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]
