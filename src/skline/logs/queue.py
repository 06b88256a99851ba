"""What waits to be written: rows, and who waits for them to be durable."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from threading import Lock

from skline.errors import SklineError
from skline.logs.answered import Answered
from skline.logs.records import Prediction


class NotDurable(SklineError):
    """The log is in sync mode and could not make the rows durable in time; the answer must not be given."""


class Ticket:
    """Someone on an event loop who waits until his rows are durable."""

    def __init__(self, rows: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.left = rows
        self.refusal: str | None = None
        #: Set when nobody waits any longer: rows that are not written by then need not be.
        self.abandoned = False

    def done(self, refusal: str | None = None) -> bool:
        """One of the rows is written, or refused; return whether it was the last. Called by the writer alone."""
        self.left -= 1
        self.refusal = self.refusal or refusal
        return self.left == 0

    def resolve(self) -> None:
        """Wake who waits; on the event loop."""
        if self.future.done():
            return
        if self.refusal is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(NotDurable(self.refusal))


Single = tuple[Prediction, Ticket | None]
#: What goes into the queue at once: a row, or many.
Waiting = Single | Answered


class RowQueue:
    """Rows between any number of threads that ask and one that writes; adding never waits for that one.

    Several threads that ask may at worst exceed `size` by what each of them adds.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._waiting: deque[Waiting] = deque()
        self._lock = Lock()
        self._added = self._taken = 0

    def __len__(self) -> int:
        return self._added - self._taken

    def add(self, record: Prediction) -> bool:
        """Add a row nobody waits for; False if the queue is full."""
        if len(self) >= self.size:
            return False
        self._count(1)
        self._waiting.append((record, None))
        return True

    def extend(self, records: list[Prediction], ticket: Ticket | None = None) -> int:
        """Add as many rows as there is room for, from the first on; return how many. A ticket's rows all go in."""
        if ticket is None:
            records = records[: max(self.size - len(self), 0)]
        self._count(len(records))
        self._waiting.extend(zip(records, repeat(ticket)))
        return len(records)

    def add_all(self, answered: Answered) -> bool:
        """Add the rows of a request, which stay together; False if the queue is full."""
        if len(self) >= self.size:
            return False
        self._count(len(answered))
        self._waiting.append(answered)
        return True

    def take(self, most: int) -> list[Waiting]:
        """Remove and return up to `most` rows, the oldest first; for the writer's thread.

        If those of the oldest request alone are more, they are returned.
        """
        taken: list[Waiting] = []
        rows = 0
        while self._waiting and (not taken or rows + rows_of(self._waiting[0]) <= most):
            waiting = self._waiting.popleft()
            taken.append(waiting)
            rows += rows_of(waiting)
        self._taken += rows
        return taken

    def _count(self, rows: int) -> None:
        """Count rows, before they can be taken."""
        with self._lock:
            self._added += rows


def rows_of(waiting: Waiting) -> int:
    """How many rows went into the queue at once."""
    return len(waiting) if isinstance(waiting, Answered) else 1


def runs(batch: Iterable[Waiting]) -> Iterator[Answered | list[Single]]:
    """Put rows that follow each other together; those of one request are together already."""
    singles: list[Single] = []
    for waiting in batch:
        if isinstance(waiting, Answered):
            if singles:
                yield singles
                singles = []
            yield waiting
        else:
            singles.append(waiting)
    if singles:
        yield singles


def wake(tickets: Iterable[Ticket]) -> None:
    """Resolve tickets on their event loops, one call a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
    for ticket in tickets:
        by_loop.setdefault(ticket.loop, []).append(ticket)
    for loop, some in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, some)
        except RuntimeError:
            continue  # the loop is closed, and with it all who waited on it


def _resolve(tickets: list[Ticket]) -> None:
    """Resolve tickets; on the event loop."""
    for ticket in tickets:
        ticket.resolve()
