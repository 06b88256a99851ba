"""uvicorn's HTTP, with one system call for an answer instead of two.

uvicorn writes an answer's head and its body one after the other, and each write goes to the socket at once. For
an answer as short as a prediction those two calls are a third of all the time it takes. Here the head waits for
the body, as ASGI allows, and they go out together.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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
    """uvicorn's protocol over a joining transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(Joining(transport))  # type: ignore[arg-type]
