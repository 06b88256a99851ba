"""uvicorn's HTTP, with a short way for requests that can be answered at once.

uvicorn makes a task and a few objects for each request, and writes an answer's head and its body one after the
other. For an answer that takes less time than all that, here is a way without: a request that has come whole is
handed to the application as it is, and answered in one write. Everything else goes uvicorn's way, where the head
waits for the body, as ASGI allows, and they go out together.
"""

import asyncio
import sys
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.asked import Asked
from serving.connections import MOST_HEAD_BYTES, MOST_HEADERS, MOST_OVERHEAD_BYTES, STATE, Connections
from serving.joining import Joining
from serving.responses import Json
from serving.upgrade import new_parser, without_wish


class Pending:
    """What uvicorn's cycle is while a request is on the short way; a new one for each, so that they can be told apart.

    uvicorn sets `disconnected` when the client is gone, and `keep_alive` to false when the server ends.
    """

    __slots__ = ("disconnected", "keep_alive", "response_complete")
    more_body = False
    message_event = asyncio.Event()

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = self.response_complete = False


class ShortProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the short way; its connections are counted and watched by the application's.

    A request is taken for the short way if it is a POST of HTTP/1.1 to the path of the application's `soon` and
    nothing before it on the connection is unanswered. If its body does not come in one piece with its head, or is
    larger than the application wants it, uvicorn goes on with it as if it had just come.
    """

    #: Of the application; None where it keeps no count.
    _connections: Connections | None = None
    #: The request whose head, or body's end, has not come yet, and how many bytes of it were no body's.
    _begun: object = None
    _overhead = 0
    #: The body of the request that is on the short way; None if none is.
    _held: list[bytes] | None = None
    #: Where what follows a head that asks for another protocol begins in the data; None if there is no such head.
    _wish_ends: int | None = None
    _defaults: tuple[list[tuple[bytes, bytes]], bytes] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        soon: tuple[bytes, int] | None = getattr(self.app, "soon", None)
        self._soon_path: bytes | None = soon[0] if soon else None
        self._most_bytes = soon[1] if soon else 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._joining = Joining(transport, lambda: self.cycle is not None and self.cycle.more_body)
        super().connection_made(self._joining)  # type: ignore[arg-type]
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
        if self._joining.lingering:
            return
        super().data_received(data)
        while self._wish_ends is not None:
            head = without_wish(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
            data = head + data[self._wish_ends :]
            self._wish_ends, self.parser = None, new_parser(self)
            super().data_received(data)
        if self._held is not None:
            self._leave_short_way()
        scope = self.scope
        if scope is None or self._connections is None:
            return
        # uvicorn knows the method when a head is whole.
        if "method" not in scope:
            self._count(len(data), MOST_HEAD_BYTES)
        elif self.cycle is not None and self.cycle.more_body:
            self._count(len(data) - len(self.cycle.body), MOST_OVERHEAD_BYTES)

    def on_headers_complete(self) -> None:
        """Take the short way, or uvicorn's."""
        parser = self.parser
        if (
            self.url == self._soon_path
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        ):
            self._held = []
            self.scope["method"] = "POST"
        elif not self._has_wish():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Answer the request that has come whole."""
        if self._held is None:
            if not self._has_wish():
                super().on_message_complete()
            return
        body = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        if len(body) > self._most_bytes:
            self._leave_short_way()
            super().on_message_complete()
            return
        pending = Pending(keep_alive=self.parser.should_keep_alive())
        self._held, self.cycle = None, pending  # type: ignore[assignment]
        self.app.answer_soon(Asked(self.scope, body, partial(self._answer, pending)))

    def on_response_complete(self) -> None:
        """End an answer; to HEAD there is nothing after the head."""
        self._joining.flush()
        super().on_response_complete()

    def _has_wish(self) -> bool:
        """Whether the head that has just come is to be read again; a CONNECT says nothing else."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _should_upgrade(self) -> bool:
        """Never change the protocol."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Note where the parser has stopped; uvicorn calls it while it handles what the parser raised."""
        stopped = sys.exc_info()[1]
        if stopped is not None and self._has_wish():
            self._wish_ends = stopped.args[0]

    def _answer(self, pending: Pending, answer: Json) -> None:
        """End the short way of a request."""
        pending.response_complete = True
        if not pending.disconnected:
            self._write(answer, keep_alive=pending.keep_alive)
            self.on_response_complete()

    def _leave_short_way(self) -> None:
        """Let uvicorn go on with the request, as if its head had just come and then what there is of its body."""
        held, self._held = self._held or [], None
        super().on_headers_complete()
        for body in held:
            super().on_body(body)

    def _write(self, answer: Json, *, keep_alive: bool) -> None:
        """Write an answer in one piece."""
        parts: list[bytes | memoryview] = [STATUS_LINE[answer.status_code], self._default_headers()]
        for name, value in answer.raw_headers:
            if name == b"connection":
                keep_alive = False
            else:
                parts += (name, b": ", value, b"\r\n")
        if not keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", answer.body)
        self.transport.write(b"".join(parts))
        if not keep_alive:
            self.transport.close()

    def _default_headers(self) -> bytes:
        """Write uvicorn's own headers; the list is another one each second, when the date changes."""
        headers = self.server_state.default_headers
        if self._defaults is None or self._defaults[0] is not headers:
            self._defaults = headers, b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return self._defaults[1]

    def _count(self, size: int, most: int) -> None:
        """Count bytes of an unfinished request that are no body's; what came with its beginning is not known."""
        if self._begun is not self.scope:
            self._begun, self._overhead = self.scope, 0
        elif size > 0:
            self._overhead += size
        if (self._overhead > most or len(self.headers) > MOST_HEADERS) and self._connections is not None:
            self._connections.too_big(self)
