"""Connections that wait for their client: how long they may, how many there may be, and which has to go first.

uvicorn limits how long a connection may be idle after an answer, and nothing else: who sends a request's head a
byte a minute, or never reads an answer, keeps a connection for ever. Here one task looks at all of them once a
second; a request costs nothing more.
"""

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping
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
#: Seconds within which a connection has to ask again, and again, to keep its place.
REGULAR_SECONDS = 3.0
#: The share of all places that can be kept so; the others are there for who comes new.
REGULAR_SHARE = 0.75
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
    """What a connection was seen waiting for, in which request and since when, and when it had asked once more."""

    phase: Phase
    cycle: object
    since: float
    asked_again: float = -inf

    def next(self, phase: Phase, cycle: object, now: float) -> "Seen":
        """What is seen at a later look; while a request is worked on, nobody can ask once more."""
        asked_again = self.asked_again
        if cycle is not self.cycle:
            asked_again = asked_again if self.cycle is None else now
        elif phase is self.phase and phase is not Phase.WORK:
            return self
        elif phase is Phase.WORK and self.regular(now):
            asked_again = now
        since = self.since if cycle is self.cycle and phase is self.phase else now
        return Seen(phase, cycle, since, asked_again)

    def regular(self, now: float) -> bool:
        """Whether it asks again and again."""
        return now - self.asked_again < REGULAR_SECONDS


class Connections:
    """The open connections of one process, oldest first.

    When there are as many as there may be and one more comes, the oldest that has not sent a whole request's head yet
    is closed for it, then the oldest that has not moved since the last look, then others, and last of all those that
    ask again and again, if they are not too many; a connection that is worked on never is. So thousands of slow clients
    take the places of one another, and an honest one, who asks as soon as it is connected, is answered.

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
        #: Those that do not ask again and again, or are too many; of them those that may not have sent a whole head,
        #: and those that stalled at the last look of `_next_to_go`.
        self._irregular: dict[ShortProtocol, None] = {}
        self._new: dict[ShortProtocol, None] = {}
        self._stalled: list[tuple[ShortProtocol, Phase, object]] = []
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
        self._open[connection] = self._irregular[connection] = self._new[connection] = None

    def remove(self, connection: "ShortProtocol") -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)
        self._irregular.pop(connection, None)
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
        for connection, before in list(self._open.items()):
            phase, cycle = phase_of(connection), connection.cycle
            seen = Seen(phase, cycle, now) if before is None else before.next(phase, cycle, now)
            self._open[connection] = seen
            if now - seen.since >= self._patience.get(seen.phase, inf):
                self._drop(connection, "unread" if seen.phase is Phase.READER else "slow_head")
            elif not seen.regular(now):
                self._irregular.setdefault(connection)
            elif len(self._open) - len(self._irregular) < REGULAR_SHARE * self.most:
                self._irregular.pop(connection, None)

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
                connection, *then = self._stalled.pop()
                if connection in self._open and then == [phase_of(connection), connection.cycle]:
                    return connection
            self._stalled = self._find_stalled()
        return None

    def _find_stalled(self) -> "list[tuple[ShortProtocol, Phase, object]]":
        """All that wait for their client, and for what; those that have to go first are the last.

        Of those that ask again and again one is found, and only if there are no others: more may come until the next
        has to go.
        """
        return self._waiting(self._irregular) or self._waiting(self._open)[-1:]

    def _waiting(self, connections: "Iterable[ShortProtocol]") -> "list[tuple[ShortProtocol, Phase, object]]":
        found = []
        for connection in connections:
            phase, seen = phase_of(connection), self._open[connection]
            if phase is not Phase.WORK:
                moving = seen is None or seen[:2] != (phase, connection.cycle)
                found.append((moving, phase, connection))
        found.sort(key=lambda one: one[:2])  # stable: the oldest stay first
        return [(connection, phase, connection.cycle) for _, phase, connection in reversed(found)]

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
