"""Connections that wait for their client: how long they may, how many there may be, and which has to go first.

uvicorn limits how long a connection may be idle after an answer, and nothing else: who sends a request's head a
byte a minute, or never reads an answer, keeps a connection for ever. Here one task looks at all of them once a
second; a request costs nothing more.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from enum import IntEnum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from serving.security.settings import LimitSettings

if TYPE_CHECKING:
    from serving.http import ShortProtocol

log = logging.getLogger("skline.serving")

#: Under this name the server's protocols find the connections of their application.
STATE = "connections"
#: Seconds from look to look.
LOOK_EVERY = 1.0
#: Seconds for which a connection that has asked in more than one look need not ask again to keep its place.
REGULAR_SECONDS = 3.0
#: File descriptors that are kept for everything but connections: the log's files, sockets, what is being read.
RESERVED = 100
#: A request's head that comes in parts may have so many bytes after the first part, and so many headers.
MOST_HEAD_BYTES, MOST_HEADERS = 32 * 2**10, 500
#: A body's chunks may have so many bytes of sizes, extensions and trailers.
MOST_OVERHEAD_BYTES = 2**20
TOO_BIG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Phase(IntEnum):
    """What a connection waits for."""

    FIRST_HEAD = 0
    BODY = 1
    NEXT_HEAD = 2
    READER = 3
    IDLE = 4
    WORK = 5


class Seen(NamedTuple):
    """What a connection was seen waiting for, in which request and since when, and whether it asks again and again."""

    phase: Phase
    cycle: object
    since: float
    regular: bool = False

    def same(self, connection: "ShortProtocol") -> bool:
        """Whether it waits for the same thing still."""
        return self.phase is phase_of(connection) and self.cycle is connection.cycle


class Connections:
    """The open connections of one process, oldest first.

    When there are as many as there may be and one more comes, the oldest that has not sent a whole request's head yet
    is closed for it, then the oldest that has not moved since the last look, then others, and last of all those that
    ask again and again; a connection that is worked on never is. So thousands of slow clients take the places of one
    another, and an honest one, who asks as soon as it is connected, is answered.

    Attributes
    ----------
    closed : dict of str to int
        Connections that were closed, by reason: slow_head, unread (the answer), excess, big_head.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self.most = most_connections(limits.connections)
        self.closed = dict.fromkeys(("slow_head", "unread", "excess", "big_head"), 0)
        self._patience = {
            Phase.FIRST_HEAD: limits.head_seconds,
            Phase.NEXT_HEAD: limits.head_seconds,
            Phase.READER: limits.request_seconds,
        }
        #: What each was seen waiting for, and since when.
        self._open: dict[ShortProtocol, Seen | None] = {}
        #: Those that may not have sent a whole head yet, and those that stalled at the last look of `_next_to_go`.
        self._new: dict[ShortProtocol, None] = {}
        self._stalled: list[tuple[ShortProtocol, Seen]] = []
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Begin to look; to be called in the server's event loop."""
        self._looking = asyncio.create_task(self._look_again_and_again())

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def add(self, connection: "ShortProtocol") -> None:
        """Take a new connection in; another goes for it, or it goes itself, if there are too many."""
        if len(self._open) >= self.most:
            self._drop(self._next_to_go() or connection, "excess")
        self._open[connection] = self._new[connection] = None

    def remove(self, connection: "ShortProtocol") -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)
        self._new.pop(connection, None)

    def too_big(self, connection: "ShortProtocol") -> None:
        """Close a connection that sends a head without an end, with an answer if nothing is being answered on it."""
        if connection.cycle is None or connection.cycle.response_complete:
            connection.transport.write(TOO_BIG)
        self.closed["big_head"] += 1
        self.remove(connection)
        connection.transport.close()

    def counts(self) -> Mapping[str, float]:
        """How many were closed, by reason."""
        return self.closed

    def look(self, now: float) -> None:
        """Close those that have waited too long for the same thing; `now` is of a clock that only rises."""
        for connection, seen in list(self._open.items()):
            if seen is None or not seen.same(connection):
                again = seen is not None and seen.cycle is not None and seen.cycle is not connection.cycle
                regular = again or (seen is not None and seen.regular)
                self._open[connection] = Seen(phase_of(connection), connection.cycle, now, regular)
            elif now - seen.since >= self._patience.get(seen.phase, inf):
                self._drop(connection, "unread" if seen.phase is Phase.READER else "slow_head")
            elif seen.regular and now - seen.since >= REGULAR_SECONDS:
                self._open[connection] = seen._replace(regular=False)

    def _drop(self, connection: "ShortProtocol", reason: str) -> None:
        """Close at once: what is still to be sent would keep it open as long as nobody reads it."""
        self.closed[reason] += 1
        self.remove(connection)
        connection.transport.abort()

    def _next_to_go(self) -> "ShortProtocol | None":
        """The connection that has to go; None if all are worked on. Each is looked at few times, however many come."""
        while self._new:
            connection = next(iter(self._new))
            if connection.cycle is None:
                return connection
            del self._new[connection]
        for _ in range(2):
            while self._stalled:
                connection, found = self._stalled.pop()
                if connection in self._open and found.same(connection):
                    return connection
            self._stalled = self._find_stalled()
        return None

    def _find_stalled(self) -> "list[tuple[ShortProtocol, Seen]]":
        """All that wait for their client, and for what; those that have to go first are the last.

        Those that ask again and again are found only if there are no others: more may come until their turn.
        """
        waiting = [(one, seen) for one, seen in self._open.items() if phase_of(one) is not Phase.WORK]
        waiting = [(one, seen) for one, seen in waiting if seen is None or not seen.regular] or waiting
        found = [
            (seen is None or not seen.same(one), one, Seen(phase_of(one), one.cycle, monotonic()))
            for one, seen in waiting
        ]
        found.sort(key=lambda each: (each[0], each[2].phase))  # stable: the oldest stay first
        return [(one, now) for _, one, now in reversed(found)]

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look(monotonic())


def backlog(limits: LimitSettings) -> int:
    """How many connections may wait to be accepted: they are accepted at once, and must not push one another out."""
    return max(1, min(2048, most_connections(limits.connections) // 4))


def phase_of(connection: "ShortProtocol") -> Phase:
    """What a connection waits for now."""
    cycle = connection.cycle
    if connection.transport.get_write_buffer_size():
        return Phase.READER
    if cycle is None:
        return Phase.FIRST_HEAD
    if cycle.response_complete:
        # A head has begun to come, or what is left of a body that nobody wanted.
        return Phase.NEXT_HEAD if connection.timeout_keep_alive_task is None else Phase.IDLE
    return Phase.BODY if cycle.more_body else Phase.WORK


def most_connections(wanted: int) -> int:
    """How many connections there may be: as many as wanted, if the process may open so many files."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            # At least half of a small limit is for connections.
            fitting = max(soft - RESERVED, soft // 2)
            log.warning("%d connections at most, not %d: this process may open %d files", fitting, wanted, soft)
            return fitting
    return wanted
