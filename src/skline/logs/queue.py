"""The queue between the threads that make predictions and the one that writes them."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from threading import Lock

from skline.errors import SklineError
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows


class NotDurable(SklineError):
    """In sync mode: the rows could not be made durable in time, so their predictions must not be returned."""


class CommitWaiter:
    """A caller on an event loop that waits until a number of rows is durable (sync mode).

    Attributes
    ----------
    future : asyncio.Future
        Done when all rows are durable; its exception is NotDurable if one of them was rejected.
    abandoned : bool
        Whether the caller no longer waits; rows that are not written by then are skipped.
    """

    def __init__(self, rows: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.abandoned = False
        self._remaining = rows
        self._rejection: str | None = None

    def count_row(self, rejection: str | None = None) -> bool:
        """Count one row as written, or as rejected; return whether it was the last. For the writer's thread."""
        self._remaining -= 1
        self._rejection = self._rejection or rejection
        return self._remaining == 0

    def resolve(self) -> None:
        """Complete the future; on the event loop."""
        if self.future.done():
            return
        if self._rejection is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(NotDurable(self._rejection))


#: A row, and the caller that waits for it.
SingleRow = tuple[Prediction, CommitWaiter | None]
QueueItem = SingleRow | RequestRows


class RowQueue:
    """A bounded queue of rows with many producers and one consumer; adding never waits for the consumer.

    Producers that add at the same time may exceed `capacity` by what each of them adds.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._items: deque[QueueItem] = deque()
        self._lock = Lock()
        self._added = self._taken = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._added - self._taken

    def add(self, record: Prediction) -> bool:
        """Add one row; False if the queue is full."""
        if len(self) >= self.capacity:
            return False
        self._count(1)
        self._items.append((record, None))
        return True

    def add_many(self, records: list[Prediction], waiter: CommitWaiter | None = None) -> int:
        """Add as many rows as fit, the first ones, or all if there is a waiter; return how many."""
        if waiter is None:
            records = records[: max(self.capacity - len(self), 0)]
        self._count(len(records))
        self._items.extend(zip(records, repeat(waiter)))
        return len(records)

    def add_request(self, rows: RequestRows) -> bool:
        """Add all rows of a request as one item; False, and none is added, if the queue is full."""
        if len(self) >= self.capacity:
            return False
        self._count(len(rows))
        self._items.append(rows)
        return True

    def take(self, limit: int) -> list[QueueItem]:
        """Remove and return up to `limit` rows, the oldest first; for the consumer only.

        A first item with more rows than that is returned alone.
        """
        taken: list[QueueItem] = []
        rows = 0
        while self._items and (not taken or rows + row_count(self._items[0]) <= limit):
            item = self._items.popleft()
            taken.append(item)
            rows += row_count(item)
        self._taken += rows
        return taken

    def _count(self, rows: int) -> None:
        """Count added rows; called before they can be taken, so that the length is never negative."""
        with self._lock:
            self._added += rows


def row_count(item: QueueItem) -> int:
    """Return the number of rows of an item."""
    return len(item) if isinstance(item, RequestRows) else 1


def group_items(items: Iterable[QueueItem]) -> Iterator[RequestRows | list[SingleRow]]:
    """Collect consecutive single rows in lists; keep the rows of a request as they are, and the order."""
    singles: list[SingleRow] = []
    for item in items:
        if isinstance(item, RequestRows):
            if singles:
                yield singles
                singles = []
            yield item
        else:
            singles.append(item)
    if singles:
        yield singles


def resolve_waiters(waiters: Iterable[CommitWaiter]) -> None:
    """Resolve waiters on their event loops, in one call to each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[CommitWaiter]] = {}
    for waiter in waiters:
        by_loop.setdefault(waiter.loop, []).append(waiter)
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, group)
        except RuntimeError:
            continue  # the loop is closed, and with it everything that waited on it


def _resolve(waiters: list[CommitWaiter]) -> None:
    """Resolve waiters; on the event loop."""
    for waiter in waiters:
        waiter.resolve()
