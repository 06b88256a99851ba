"""uvicorn's HTTP protocol with a fast path for small requests to one route.

uvicorn creates a task and several objects for each request, and writes a response's head and body separately. On the
fast path a request that arrived complete is passed to the application directly, and its response is sent in one write.
Every other request takes uvicorn's path, where the response's head is held until its body starts, as ASGI allows, and
both are sent together.

uvicorn's undocumented names that the service relies on are listed in one test, `test_uvicorn_internals.py`.
"""

import asyncio
import sys
from functools import partial
from time import perf_counter
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from skline.serving.security.host import use_host_of_target
from skline.serving.transport.coalescing import CoalescingTransport
from skline.serving.transport.connections import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_OVERHEAD_BYTES,
    STATE_KEY,
    ConnectionLimiter,
)
from skline.serving.transport.request import BufferedRequest
from skline.serving.transport.responses import JSONBytesResponse
from skline.serving.transport.upgrade import new_parser, strip_upgrade_headers

#: The end of a head. A piece of input with more of them than PIPELINED_HEADS may be many requests, and a smaller piece
#: is parsed: a read of 256 KiB can hold 14,000 requests, which take a hundred times their size in memory.
HEAD_END = b"\r\n\r\n"
PIPELINED_HEADS, PIPELINED_BYTES = 8, 1024
#: Input is parsed in pieces of this size, and other connections get their turn after PARSE_SECONDS: a read of 256 KiB
#: can hold 40,000 chunks of a body. The rest of a body whose length is known is one piece.
PIECE_BYTES, PARSE_SECONDS = 4096, 0.002


class InputControl(FlowControl):
    """uvicorn's control of reading and writing, with a second reason not to read: input that is still to be parsed."""

    held = False

    def hold(self) -> None:
        """Stop reading until `release`, whatever uvicorn decides meanwhile."""
        if not self.held:
            self.held = True
            if not self.read_paused:
                self._transport.pause_reading()

    def release(self) -> None:
        """Read again, unless uvicorn has paused reading."""
        if self.held:
            self.held = False
            if not self.read_paused:
                self._transport.resume_reading()

    def pause_reading(self) -> None:
        """Stop reading until `resume_reading`."""
        if not self.read_paused:
            self.read_paused = True
            if not self.held:
                self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless input is held."""
        if self.read_paused:
            self.read_paused = False
            if not self.held:
                self._transport.resume_reading()


class FastPathProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the fast path; registers its connections with the application's ConnectionLimiter.

    A request takes the fast path if it is an HTTP/1.1 POST to the path in the application's `fast_path` and no earlier
    request on the connection waits for its response. If its body does not arrive together with its head, or is larger
    than `fast_path` allows, uvicorn continues with the request as if it had just arrived.
    """

    #: The application's limiter; None if it has none.
    _connections: ConnectionLimiter | None = None
    #: The scope of the request that is being received, and how many of its bytes, body excluded, have been counted.
    _current_request: object = None
    _overhead_bytes = 0
    #: How many bytes of bodies have been parsed on this connection: all, and before the request that is being received.
    _body_bytes = _earlier_body_bytes = 0
    #: Input that is not parsed yet.
    _held_input = b""
    #: Whether the request that is being received is on the fast path.
    _on_fast_path = False
    #: Where the input continues after a head that offers an upgrade; None if there is no such head.
    _upgrade_offset: int | None = None
    #: uvicorn's list of default headers, and its encoding as header lines.
    _encoded_defaults: tuple[list[tuple[bytes, bytes]], bytes] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fast_path: tuple[bytes, int] | None = getattr(self.app, "fast_path", None)
        self._fast_path: bytes | None = fast_path[0] if fast_path else None
        self._max_fast_bytes = fast_path[1] if fast_path else 0
        #: Parts of the body that the parser has found and uvicorn has not got: it copies the whole body for each part.
        self._body_parts: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the transport and register the connection."""
        self._output = CoalescingTransport(transport, lambda: self.cycle is not None and self.cycle.more_body)
        super().connection_made(self._output)  # type: ignore[arg-type]
        self.flow = self._input = InputControl(self._output)  # type: ignore[arg-type]
        self._connections = self.app_state.get(STATE_KEY)
        if self._connections is not None:
            self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._held_input = b""
        super().connection_lost(exc)
        if self._connections is not None:
            self._connections.remove(self)

    def data_received(self, data: bytes) -> None:
        """Parse input, but not for long, and not while a request waits for the response of an earlier one."""
        if len(data) > PIPELINED_BYTES or self._held_input or self.pipeline:
            self._held_input += data
            self._parse_held_input()
        elif not self._output.lingering:
            self._parse(data)
            if self._body_parts or self._on_fast_path:
                self._end_of_input()

    def _parse_held_input(self) -> None:
        """Parse input for a short time, until a request waits for the response of an earlier one, and hold the rest."""
        data, position, deadline = self._held_input, 0, perf_counter() + PARSE_SECONDS
        while position < len(data) and not self.pipeline:
            if self.transport.is_closing():
                self._held_input = b""
                return
            if position and perf_counter() > deadline:
                asyncio.get_running_loop().call_soon(self._parse_held_input)
                break
            end = position + (self._body_left() or _piece_size(data, position))
            self._parse(data[position:end])
            position = end
        self._end_of_input()
        self._held_input = data[position:]
        if self._held_input:
            self._input.hold()
        else:
            self._input.release()

    def _body_left(self) -> int:
        """Return how many bytes are missing of a body whose length the head declares; 0 if none is being received."""
        if not (self._on_fast_path or (self.cycle is not None and self.cycle.more_body)):
            return 0
        declared = next((value for name, value in self.scope["headers"] if name == b"content-length"), b"0")
        return max(int(declared) - (self._body_bytes - self._earlier_body_bytes), 0)

    def _end_of_input(self) -> None:
        """Let uvicorn have what has arrived of an incomplete request."""
        if self._on_fast_path:
            self._fall_back_to_uvicorn()
        self._pass_body_on()

    def _parse(self, data: bytes) -> None:
        """Parse input, and limit heads, chunk sizes and trailers: the parser itself buffers them without a limit."""
        body_bytes = self._body_bytes
        super().data_received(data)
        while self._upgrade_offset is not None:
            head = strip_upgrade_headers(
                self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
            )
            data = head + data[self._upgrade_offset :]
            self._upgrade_offset, self.parser = None, new_parser(self)
            super().data_received(data)
        scope = self.scope
        if scope is None or self._connections is None:
            return
        # uvicorn sets the method when the head is complete.
        if "method" not in scope:
            self._limit_overhead(len(data), MAX_HEAD_BYTES)
        elif self.cycle is not None and self.cycle.more_body:
            self._limit_overhead(len(data) - (self._body_bytes - body_bytes), MAX_OVERHEAD_BYTES)

    def on_headers_complete(self) -> None:
        """Choose between the fast path and uvicorn's.

        The scope keeps the list of headers as it is now: uvicorn would add the trailers of a chunked body to it, as if
        a trailer could carry an API key or the address of a client (RFC 9110, 6.5.1).
        """
        parser, self._earlier_body_bytes = self.parser, self._body_bytes
        version = parser.get_http_version()
        if version == "1.0":
            # Its client would take an interim response for the final one (RFC 9110, 10.1.1).
            self.expect_100_continue = False
        if (
            self.url == self._fast_path
            and parser.get_method() == b"POST"
            and version == "1.1"
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        ):
            self._on_fast_path = True
            self.scope["method"] = "POST"
            self.headers = []
        elif not self._upgrade_requested():
            use_host_of_target(self.headers, self.url)
            super().on_headers_complete()
            self.headers = []

    def on_body(self, body: bytes) -> None:
        """Buffer a part of the body until its end, or the end of the input."""
        self._body_bytes += len(body)
        self._body_parts.append(body)

    def on_message_complete(self) -> None:
        """Submit a request on the fast path to the application."""
        if self._on_fast_path and self._body_bytes - self._earlier_body_bytes > self._max_fast_bytes:
            self._fall_back_to_uvicorn()
        if not self._on_fast_path:
            self._pass_body_on()
            if not self._upgrade_requested():
                super().on_message_complete()
                # uvicorn keeps `more_body` if the response was complete before the body.
                if self.cycle is not None and self.cycle.more_body and self.cycle.response_complete:
                    self.cycle.more_body = False
            return
        cycle = FastPathCycle(keep_alive=self.parser.should_keep_alive())
        self._on_fast_path, self.cycle = False, cycle  # type: ignore[assignment]
        self.app.submit(BufferedRequest(self.scope, self._take_body(), partial(self._respond, cycle)))

    def on_response_complete(self) -> None:
        """Send a head that is still held: the response to HEAD has nothing after it."""
        self._output.flush()
        super().on_response_complete()
        if self._held_input and not self.pipeline:
            self._parse_held_input()

    def _upgrade_requested(self) -> bool:
        """Whether to parse the head again without its upgrade offer; for CONNECT the parser would stop again."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _should_upgrade(self) -> bool:
        """Return false, so that uvicorn never changes the protocol."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Record where the parser stopped; uvicorn calls this while it handles the parser's exception."""
        error = sys.exc_info()[1]
        if error is not None and self._upgrade_requested():
            self._upgrade_offset = error.args[0]

    def _fall_back_to_uvicorn(self) -> None:
        """Replay the request's head to uvicorn, which gets its body next."""
        self._on_fast_path = False
        self.expect_100_continue = False  # requests with this header do not take the fast path; this is a trailer's
        super().on_headers_complete()

    def _pass_body_on(self) -> None:
        """Give uvicorn the buffered part of a body."""
        if self._body_parts:
            super().on_body(self._take_body())

    def _take_body(self) -> bytes:
        """Return the buffered part of a body, and forget it."""
        parts, self._body_parts = self._body_parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _respond(self, cycle: "FastPathCycle", response: JSONBytesResponse) -> None:
        """Complete a request on the fast path; nothing is sent if the client has disconnected."""
        cycle.response_complete = True
        if not cycle.disconnected:
            self._write_response(response, keep_alive=cycle.keep_alive)
            self.on_response_complete()

    def _write_response(self, response: JSONBytesResponse, *, keep_alive: bool) -> None:
        parts: list[bytes | memoryview] = [STATUS_LINE[response.status_code], self._default_headers()]
        for name, value in response.raw_headers:
            if name == b"connection":
                keep_alive = False
            else:
                parts += (name, b": ", value, b"\r\n")
        if not keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", response.body)
        self.transport.write(b"".join(parts))
        if not keep_alive:
            self.transport.close()

    def _default_headers(self) -> bytes:
        """Return uvicorn's default headers as bytes; uvicorn replaces the list each second, when the date changes."""
        headers = self.server_state.default_headers
        if self._encoded_defaults is None or self._encoded_defaults[0] is not headers:
            self._encoded_defaults = headers, b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return self._encoded_defaults[1]

    def _limit_overhead(self, size: int, limit: int) -> None:
        """Count input of an unfinished request that is not body; reject the request beyond `limit` bytes.

        Input that arrived together with the start of the request is not counted: it may belong to earlier requests.
        """
        if self._current_request is not self.scope:
            self._current_request, self._overhead_bytes = self.scope, 0
        elif size > 0:
            self._overhead_bytes += size
        if (self._overhead_bytes > limit or len(self.headers) > MAX_HEADERS) and self._connections is not None:
            self._connections.reject_oversized_head(self)


def _piece_size(data: bytes, position: int) -> int:
    """Return how many bytes to parse at a time, where the input may hold the heads of many requests."""
    heads = data.count(HEAD_END, position, position + PIECE_BYTES)
    return PIPELINED_BYTES if heads > PIPELINED_HEADS else PIECE_BYTES


class FastPathCycle:
    """Stand-in for uvicorn's RequestResponseCycle while a request is on the fast path.

    Each request has its own instance, because ConnectionLimiter distinguishes requests by identity. uvicorn sets
    `disconnected` when the client disconnects, and `keep_alive` to false when the server shuts down.
    """

    __slots__ = ("disconnected", "keep_alive", "response_complete")
    more_body = False
    message_event = asyncio.Event()

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = self.response_complete = False
