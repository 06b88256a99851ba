"""What waits to be written: rows, and who waits for them to be durable."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby, repeat

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


#: One of the predictions of a request that is not taken apart yet.
Part = tuple[Answered, int]
Single = tuple[Prediction, Ticket | None]
Waiting = Single | tuple[Part, None]


class RowQueue:
    """Rows between any number of threads that ask and one that writes; adding never waits.

    Without a lock: appending to a deque is atomic, and several threads may at worst exceed `size` by one row each.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, record: Prediction) -> bool:
        """Add a row nobody waits for; False if the queue is full."""
        if len(self._rows) >= self.size:
            return False
        self._rows.append((record, None))
        return True

    def extend(self, records: list[Prediction], ticket: Ticket | None = None) -> int:
        """Add as many rows as there is room for, from the first on; return how many. A ticket's rows all go in."""
        room = self.size - len(self._rows)
        if ticket is None and room < len(records):
            records = records[: max(room, 0)]
        self._rows.extend(zip(records, repeat(ticket)))
        return len(records)

    def extend_by(self, answered: Answered) -> int:
        """Add the rows of a request as `extend` does."""
        count = max(min(len(answered), self.size - len(self._rows)), 0)
        self._rows.extend(zip(zip(repeat(answered), range(count)), repeat(None)))
        return count

    def take(self, most: int) -> list[Waiting]:
        """Remove and return up to `most` rows, the oldest first; for the writer's thread."""
        rows = self._rows
        return [rows.popleft() for _ in range(min(most, len(rows)))]


def runs(batch: Iterable[Waiting]) -> Iterator[tuple[Answered, int, int] | list[Single]]:
    """Split rows into those of one request each, from one place in it to another, and others."""
    for answered, waiting in groupby(batch, key=_request):
        if answered is None:
            yield [(row, ticket) for row, ticket in waiting if isinstance(row, Prediction)]
        else:
            places = [row[1] for row, _ in waiting if not isinstance(row, Prediction)]
            yield answered, places[0], places[-1] + 1


def _request(waiting: Waiting) -> Answered | None:
    """The request that a row is a part of."""
    row = waiting[0]
    return None if isinstance(row, Prediction) else row[0]


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
