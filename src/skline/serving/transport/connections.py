"""Limit the open connections of one process, and how long each may wait for its client.

uvicorn limits only how long a connection may be idle after a response: a client that sends a request head one byte per
minute, or never reads a response, keeps its connection for ever. Here one task sweeps all connections once per second,
which costs nothing per request.

At the limit a new connection replaces the oldest inactive one. Each rule is needed by a drill in
`tests/behaviour/test_slow_clients.py` or by a test in `tests/skline/serving/transport/test_connections.py`:

- Active connections are replaced only if there is no inactive one: `test_active_connection_survives_a_flood`.
- At most ACTIVE_SHARE of the limit counts as active: `test_three_quarters_of_the_limit_can_be_active`.
- A connection whose request is being processed stays open: `test_connection_in_processing_is_never_closed`.
- Processing time does not count as inactivity: `test_processing_extends_activity`.
"""

import asyncio
import logging
import sys
from enum import Enum, auto
from itertools import chain
from math import inf
from time import monotonic
from typing import Any, NamedTuple, Protocol

from skline.serving.settings import LimitSettings

log = logging.getLogger("skline.serving")

#: Key of the ConnectionLimiter in the server's lifespan state, where protocols find it.
STATE_KEY = "connections"
SWEEP_SECONDS = 1.0
#: A connection is active if it sent a further request within this time.
ACTIVE_SECONDS = 3.0
#: The share of the limit that can be active; the rest stays available to new connections.
ACTIVE_SHARE = 0.75
#: File descriptors reserved for everything except connections: log files, other sockets, files that are being read.
RESERVED_FILES = 100
#: Limits of a request head that arrives in parts: bytes after the first part, and headers.
MAX_HEAD_BYTES, MAX_HEADERS = 32 * 2**10, 500
#: Limit of the chunk sizes, chunk extensions and trailers of one body.
MAX_OVERHEAD_BYTES = 2**20
RESPONSE_431 = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(Protocol):
    """What is used of a connection's HTTP protocol; declared here because `transport.protocol` imports this module."""

    @property
    def cycle(self) -> Any:
        """The current or last request: a RequestResponseCycle, a FastPathCycle, or None before the first head."""

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of the connection."""

    @property
    def timeout_keep_alive_task(self) -> asyncio.TimerHandle | None:
        """Set while the connection is idle after a response."""


class ConnectionLimiter:
    """The open connections of one process, and the limits on them.

    Parameters
    ----------
    limits : LimitSettings

    Attributes
    ----------
    limit : int
        Maximum number of open connections.
    closed : dict of str to int
        Closed connections by reason: slow_request, unread_response, connection_limit, oversized_head.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self.limit = connection_limit(limits.connections)
        self.closed = dict.fromkeys(("slow_request", "unread_response", "connection_limit", "oversized_head"), 0)
        self._timeouts = {Phase.HEAD: limits.head_seconds, Phase.WRITING: limits.request_seconds}
        #: Oldest first, with the state at the last sweep.
        self._open: dict[Connection, ConnectionState | None] = {}
        #: Connections that do not count as active, in the order in which they became so.
        self._inactive: dict[Connection, None] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Start to sweep; to be called in the server's event loop."""
        self._sweeper = asyncio.create_task(self._sweep_periodically())

    async def close(self) -> None:
        """Stop sweeping."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def add(self, connection: Connection) -> None:
        """Register a connection. At the limit, close the oldest inactive one, or this one if no other can be closed."""
        if len(self._open) >= self.limit:
            self._abort(self._next_to_close() or connection, "connection_limit")
        self._open[connection] = self._inactive[connection] = None

    def remove(self, connection: Connection) -> None:
        """Unregister a closed connection."""
        self._open.pop(connection, None)
        self._inactive.pop(connection, None)

    def reject_oversized_head(self, connection: Connection) -> None:
        """Close a connection whose head or trailers exceed a limit, with a 431 unless that would be a second response.

        It would be one if an earlier response is in progress, or if the request got its response before its end.
        """
        cycle = connection.cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            connection.transport.write(RESPONSE_431)
        self.closed["oversized_head"] += 1
        self.remove(connection)
        connection.transport.close()

    def sweep(self, now: float) -> None:
        """Update the state of all connections, and close those that exceed their phase's timeout.

        Parameters
        ----------
        now : float
            Seconds of a monotonic clock.
        """
        for connection, last in list(self._open.items()):
            phase, cycle = phase_of(connection), connection.cycle
            state = ConnectionState(phase, cycle, now) if last is None else last.next(phase, cycle, now)
            self._open[connection] = state
            if now - state.since >= self._timeouts.get(state.phase, inf):
                self._abort(connection, "unread_response" if state.phase is Phase.WRITING else "slow_request")
            elif not state.is_active(now):
                self._inactive.setdefault(connection)
            elif len(self._open) - len(self._inactive) < ACTIVE_SHARE * self.limit:
                self._inactive.pop(connection, None)

    async def _sweep_periodically(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(monotonic())

    def _next_to_close(self) -> Connection | None:
        """Return the oldest inactive connection that waits for its client, else the oldest active one, else None."""
        for connection in chain(self._inactive, self._open):
            if phase_of(connection) is not Phase.PROCESSING:
                return connection
        return None

    def _abort(self, connection: Connection, reason: str) -> None:
        """Close at once, and discard what is still to be sent: a client that does not read would keep it open."""
        self.closed[reason] += 1
        self.remove(connection)
        connection.transport.abort()


class Phase(Enum):
    """What a connection waits for.

    HEAD, BODY and IDLE wait for input, WRITING for the client to read, PROCESSING for the service.
    """

    HEAD = auto()
    BODY = auto()
    IDLE = auto()
    WRITING = auto()
    PROCESSING = auto()


class ConnectionState(NamedTuple):
    """State of a connection at the last sweep: phase, request, since when, and when it last sent a further request.

    The first request of a connection is not a further one: a flood of new connections sends one each.
    """

    phase: Phase
    cycle: object
    since: float
    last_request_at: float = -inf

    def next(self, phase: Phase, cycle: object, now: float) -> "ConnectionState":
        """Return the state at a later sweep. Processing extends activity: the client waits for its response."""
        last_request_at = self.last_request_at
        if cycle is not self.cycle:
            last_request_at = last_request_at if self.cycle is None else now
        elif phase is self.phase and phase is not Phase.PROCESSING:
            return self
        elif phase is Phase.PROCESSING and self.is_active(now):
            last_request_at = now
        since = self.since if cycle is self.cycle and phase is self.phase else now
        return ConnectionState(phase, cycle, since, last_request_at)

    def is_active(self, now: float) -> bool:
        """Whether the client sent a further request within the last ACTIVE_SECONDS."""
        return now - self.last_request_at < ACTIVE_SECONDS


def phase_of(connection: Connection) -> Phase:
    """Return the current phase of a connection."""
    cycle = connection.cycle
    if connection.transport.get_write_buffer_size():
        return Phase.WRITING
    if cycle is None:
        return Phase.HEAD
    if cycle.response_complete:
        # Without a keep-alive timer the next head has begun to arrive, or the rest of a body that was rejected.
        return Phase.HEAD if connection.timeout_keep_alive_task is None else Phase.IDLE
    return Phase.BODY if cycle.more_body else Phase.PROCESSING


def listen_backlog(limits: LimitSettings) -> int:
    """Return how many connections may wait to be accepted.

    The event loop accepts all of them in one iteration, before it reads a request from any. They must not replace one
    another, so there are at most as many as places that active connections cannot take.
    """
    return max(1, min(2048, int(connection_limit(limits.connections) * (1 - ACTIVE_SHARE))))


def connection_limit(requested: int) -> int:
    """Return the number of connections the process may open: `requested`, or fewer if its file limit is too low."""
    if sys.platform == "win32":
        return requested
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = requested + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            # At least half of a small limit is for connections.
            allowed = max(soft - RESERVED_FILES, soft // 2)
            log.warning(
                "at most %d connections instead of %d: the process may open %d files; raise `ulimit -n`",
                allowed,
                requested,
                soft,
            )
            return allowed
    return requested
