"""A transport on which an answer's head and what comes after it go out together."""

import asyncio
from collections.abc import Callable
from typing import Any

#: How long what comes after an answer that ends the connection is read and thrown away.
LINGER_SECONDS = 2.0
#: From so many bytes on a body is copied, to be joined to its head, in more time than two writes take.
LARGE = 64 * 2**10


class Joining:
    """A transport that holds an answer's head until what comes after it is written.

    A head is known by its beginning and its end; 100 Continue is none, as nothing may come after it for long.
    Everything but writing and closing is the inner transport's own.

    Parameters
    ----------
    inner : Transport
    unread : callable
        Whether the client is still sending what nobody wants to read. Then closing lingers: the client is told that
        nothing more will come, and what it sends goes nowhere until it ends, or LINGER_SECONDS have passed. The
        system answers what comes to a closed connection by a reset, which takes back an answer that was not read yet.
    """

    __slots__ = ("_head", "_unread", "inner", "lingering")

    def __init__(self, inner: asyncio.Transport, unread: Callable[[], bool]) -> None:
        self.inner, self._unread = inner, unread
        self._head = b""
        self.lingering = False

    def write(self, data: bytes) -> None:
        """Send data, after the head if one is held; hold it if it is a head."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) > LARGE:
                self.inner.write(head)
            else:
                data = head + data
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1":
            self._head = data
            return
        self.inner.write(data)

    def flush(self) -> None:
        """Send the head if one is held."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Send the head if one is held, and close, or begin to."""
        self.flush()
        if self.lingering or self.inner.is_closing() or not self.inner.can_write_eof() or not self._unread():
            self.inner.close()
            return
        self.lingering = True
        self.inner.write_eof()
        self.inner.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.inner.close)

    def is_closing(self) -> bool:
        """Whether nothing more will be sent."""
        return self.lingering or self.inner.is_closing()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner transport's."""
        return getattr(self.inner, name)
