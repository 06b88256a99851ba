"""A transport that sends a response's head and the start of its body in one write."""

import asyncio
from collections.abc import Callable
from typing import Any

#: How long input is still read and discarded after a response that ends the connection.
LINGER_SECONDS = 2.0
#: For longer bodies, copying the body behind its head takes longer than two writes.
COPY_LIMIT = 64 * 2**10


class CoalescingTransport:
    """Wrap a transport: hold each response head until the next write, and linger on close.

    A head is recognised by its first and last bytes. 100 Continue is sent at once, because nothing may follow it for a
    long time. Everything except writing and closing is delegated to the wrapped transport.

    Parameters
    ----------
    inner : Transport
        The transport to wrap.
    has_unread_input : callable
        Whether the client is still sending input that will not be used. `close` then only ends the output, and input is
        discarded until the client closes or LINGER_SECONDS pass: the operating system responds to input on a
        closed connection with a reset, which can discard a response that the client has not read yet.
    """

    __slots__ = ("_has_unread_input", "_head", "inner", "lingering")

    def __init__(self, inner: asyncio.Transport, has_unread_input: Callable[[], bool]) -> None:
        self.inner, self._has_unread_input = inner, has_unread_input
        self._head = b""
        self.lingering = False

    def write(self, data: bytes) -> None:
        """Send data together with the held head; hold data if it is itself a head."""
        if self._head:
            head, self._head = self._head, b""
            if len(data) > COPY_LIMIT:
                self.inner.write(head)
            else:
                data = head + data
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and data[9:10] != b"1":
            self._head = data
            return
        self.inner.write(data)

    def flush(self) -> None:
        """Send the held head, if there is one."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Send the held head, then close; linger if the client is still sending."""
        self.flush()
        if self.lingering or self.inner.is_closing() or not self.inner.can_write_eof() or not self._has_unread_input():
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
        """Delegate everything else to the wrapped transport."""
        return getattr(self.inner, name)
