"""The prediction log: rows go into a bounded queue, and one thread writes them to the database in batches.

In async mode the caller never waits: rows that find the queue full are dropped and counted, and a database that is
unavailable is retried until it is back. In sync mode the caller waits until its rows are durable, and concurrent
callers share a commit.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence

from skline.logs.entity import EntityHasher
from skline.logs.queue import (
    CommitWaiter,
    NotDurable,
    QueueItem,
    RowQueue,
    SingleRow,
    group_items,
    resolve_waiters,
    row_count,
)
from skline.logs.records import Prediction, PredictionEncoder
from skline.logs.rejections import RejectedCount
from skline.logs.request_rows import RequestRows
from skline.logs.settings import LogSettings
from skline.logs.stats import LogCounters, LogStats
from skline.logs.stores import open_store
from skline.logs.stores.base import RowsRejected, Store

__all__ = ["LogStats", "NotDurable", "PredictionLog"]

#: Time before a failed batch is written again: at first, and at most.
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.05, 5.0
#: Counts of rejected requests that wait for the database at most.
MAX_REJECTIONS = 10_000
#: Time that the writer's thread gets beyond `drain_seconds` to notice that they are over.
CLOSE_GRACE_SECONDS = 2.0


class PredictionLog:
    """Writes predictions to the database of the settings.

    The constructor starts the writer's thread and does not access disk or network, so that a service starts while its
    database is unavailable.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self._queue = RowQueue(settings.queue_rows)
        self._encoder = PredictionEncoder(settings, EntityHasher(settings))
        self._store: Store | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline = float("inf")
        # In sync mode the writer takes a row at once; rows that arrive during its commit share the next one.
        self._wake_rows = 1 if settings.mode == "sync" else min(settings.batch_rows, settings.queue_rows)
        self._counters = LogCounters(settings)
        self._rejections: deque[RejectedCount] = deque(maxlen=MAX_REJECTIONS)
        self._rejections_at = 0.0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._is_off = settings.mode == "off"
        if not self._is_off:
            self._thread.start()

    @property
    def accepts_request_rows(self) -> bool:
        """Whether `put_request` may be used: rows need no work of their own, and no caller waits for them."""
        return self.settings.mode == "async" and self._encoder.keeps_inputs

    def put(self, record: Prediction) -> bool:
        """Add one row without waiting; never raises. From any thread.

        Returns
        -------
        bool
            False if the row was dropped because the queue is full or the log closed, which is counted and logged.
        """
        if self._is_off:
            return True
        if self._closing.is_set() or not self._queue.add(record):
            self._counters.count_dropped(1)
            return False
        if len(self._queue) >= self._wake_rows and not self._wake.is_set():
            self._wake.set()
        return True

    def put_many(self, records: Sequence[Prediction]) -> int:
        """Add rows as `put` does; return how many were added, the first ones."""
        if self._is_off:
            return len(records)
        added = 0 if self._closing.is_set() else self._queue.add_many(list(records))
        if added < len(records):
            self._counters.count_dropped(len(records) - added)
        if len(self._queue) >= self._wake_rows:
            self._wake.set()
        return added

    def put_request(self, rows: RequestRows) -> bool:
        """Add all rows of a request, or none, as `put` does; only if `accepts_request_rows`."""
        if self._closing.is_set() or not self._queue.add_request(rows):
            self._counters.count_dropped(len(rows))
            return False
        if len(self._queue) >= self._wake_rows:
            self._wake.set()
        return True

    def put_rejections(self, counts: Sequence[RejectedCount]) -> None:
        """Add counts of rejected requests without waiting; beyond MAX_REJECTIONS the oldest ones are lost."""
        if not self._is_off:
            self._rejections.extend(counts)
            self._wake.set()

    async def append(self, records: Sequence[Prediction]) -> None:
        """Add the rows of one response; in sync mode return when they are durable, otherwise at once.

        Raises
        ------
        NotDurable
            Only in sync mode: if the rows are not durable within `sync_ms`, the queue is full, or a row can never be
            stored. Some of the rows may be in the log nevertheless.
        """
        if self.settings.mode != "sync" or not records:
            self.put_many(records)
            return
        if self._closing.is_set() or len(self._queue) + len(records) > self._queue.capacity:
            self._counters.count_dropped(len(records))
            raise NotDurable(
                f"{len(records)} rows do not fit: the log's queue holds {len(self._queue)} of at most "
                f"{self._queue.capacity} rows, or the log is closed; retry later"
            )
        waiter = CommitWaiter(len(records))
        self._queue.add_many(list(records), waiter)
        self._wake.set()
        try:
            async with asyncio.timeout(self.settings.sync_ms / 1000):
                await waiter.future
        except TimeoutError:
            # Clients get this message: the state of the database, with its address, is in the log and in `stats`.
            raise NotDurable(
                f"the prediction could not be logged within {self.settings.sync_ms} ms; retry later"
            ) from None
        finally:
            waiter.abandoned = not waiter.future.done() or waiter.future.cancelled()

    def stats(self) -> LogStats:
        """Return the log's counters. Cheap; from any thread."""
        return self._counters.snapshot(len(self._queue))

    def close(self) -> LogStats:
        """Reject new rows and write the queued ones within `drain_seconds`; those that are left count as dropped."""
        self._deadline = time.monotonic() + self.settings.drain_seconds
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(self.settings.drain_seconds + CLOSE_GRACE_SECONDS)
        if self._thread.is_alive():
            seconds = self.settings.drain_seconds
            self._counters.warn("close", "the database did not respond within %s s, rows are lost", seconds)
        return self.stats()

    def _run(self) -> None:
        """Write batches until the log is closed and the queue is empty; the writer's thread."""
        while True:
            # Set by the row that completes a batch; otherwise `batch_ms` starts a smaller one.
            waits_for_row = self._wake_rows == 1 and not self._rejections
            self._wake.wait(None if waits_for_row else self.settings.batch_ms / 1000)
            self._wake.clear()
            self._write_rejections()
            while batch := self._queue.take(self.settings.batch_rows):
                self._write_with_retries(batch)
                self._counters.in_flight = 0
                if len(self._queue) < self._wake_rows and not self._closing.is_set():
                    break
            if self._closing.is_set() and not len(self._queue):
                break
        self._write_rejections()
        self._close_store()

    def _write_rejections(self) -> None:
        """Write the counts of rejected requests; if that fails, keep them for a later call."""
        if not self._rejections or (time.monotonic() < self._rejections_at and not self._closing.is_set()):
            return
        counts = [self._rejections.popleft() for _ in range(len(self._rejections))]
        try:
            self._opened_store().write("skline_rejected_requests", counts)
        except RowsRejected as error:
            self._counters.count_rejected(error)
        except Exception as error:  # noqa: BLE001 (as in `_write_with_retries`)
            self._close_store()
            self._rejections.extendleft(reversed(counts))
            self._rejections_at = time.monotonic() + MAX_RETRY_SECONDS
            self._counters.count_failure(error, len(self._queue))
        else:
            self._counters.count_written(0, len(self._queue))

    def _opened_store(self) -> Store:
        if self._store is None:
            self._store = open_store(self.settings, durable=self.settings.mode == "sync")
        return self._store

    def _write_with_retries(self, batch: list[QueueItem]) -> None:
        """Write a batch, however long the database is unavailable; after `close` until the deadline."""
        pause = MIN_RETRY_SECONDS
        while batch := [item for item in batch if not self._skip_abandoned(item)]:
            self._counters.in_flight = rows = sum(map(row_count, batch))
            try:
                self._write_batch(batch)
            except Exception as error:  # noqa: BLE001 (the end of this thread would silently be the end of the log)
                self._close_store()
                self._counters.count_failure(error, len(self._queue) + rows)
            else:
                return
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                self._counters.count_dropped(rows)
                return
            # After `close` the event is set, and waiting for it would not pause.
            time.sleep(min(pause, remaining)) if self._closing.is_set() else self._closing.wait(pause)
            pause = min(2 * pause, MAX_RETRY_SECONDS)

    def _skip_abandoned(self, item: QueueItem) -> bool:
        """Return whether the caller of a row no longer waits for it; count the row then."""
        if isinstance(item, RequestRows) or item[1] is None or not item[1].abandoned:
            return False
        self._counters.abandoned += 1
        return True

    def _write_batch(self, batch: list[QueueItem]) -> None:
        """Write a batch; reject rows that can never be stored, and write the others."""
        store = self._opened_store()
        written: list[CommitWaiter | None] = []
        rejected: list[tuple[CommitWaiter | None, Exception]] = []
        for group in group_items(batch):
            if not isinstance(group, RequestRows):
                self._write_rows(store, group, written, rejected)
            elif self._write_request(store, group):
                written += [None] * len(group)
            else:
                self._write_rows(store, [(record, None) for record in group.predictions()], written, rejected)
        self._count_batch(written, rejected)

    def _write_request(self, store: Store, rows: RequestRows) -> bool:
        """Write the rows of a request; False if they have to be written as single rows."""
        try:
            return store.write_request(rows.with_entity(self._encoder.entity_hash(rows.shared.entity)))
        except RowsRejected:
            return False

    def _write_rows(
        self,
        store: Store,
        batch: list[SingleRow],
        written: list[CommitWaiter | None],
        rejected: list[tuple[CommitWaiter | None, Exception]],
    ) -> None:
        """Write rows together, or one by one if one of them is rejected; add their waiters to one of the lists."""
        encoded, failed = self._encoder.encode_valid(batch)
        rejected += failed
        try:
            store.write("predictions", [row for row, _ in encoded])
            written += [waiter for _, waiter in encoded]
        except RowsRejected:
            for row, waiter in encoded:
                try:
                    store.write("predictions", [row])
                    written.append(waiter)
                except RowsRejected as error:
                    rejected.append((waiter, error))

    def _count_batch(
        self, written: list[CommitWaiter | None], rejected: list[tuple[CommitWaiter | None, Exception]]
    ) -> None:
        """Count the rows of a batch, and resolve the waiters whose last row was in it."""
        self._counters.count_written(len(written), len(self._queue))
        done = {waiter for waiter in written if waiter is not None and waiter.count_row()}
        for waiter, error in rejected:
            self._counters.count_rejected(error)
            if waiter is not None and waiter.count_row(f"the log cannot store a row ({type(error).__name__})"):
                done.add(waiter)
        if done:
            resolve_waiters(done)

    def _close_store(self) -> None:
        """Close the connection; the next batch opens a new one."""
        if self._store is not None:
            self._store.close()
            self._store = None
