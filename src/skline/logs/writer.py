"""The prediction log as a service uses it: rows go into a bounded queue, and one thread writes them in batches.

The service is never kept waiting: a full queue drops rows and counts them, and a store that is away is tried again
until it comes back. In sync mode the answer waits for its rows instead, and many answers share a commit.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

from skline.logs.answered import Answered
from skline.logs.entity import EntityHasher
from skline.logs.queue import NotDurable, RowQueue, Single, Ticket, Waiting, rows_of, runs, wake
from skline.logs.records import Encoder, Prediction
from skline.logs.settings import LogSettings
from skline.logs.stats import Counts, LogStats
from skline.logs.store import RowsRefused, Store, open_store

__all__ = ["LogStats", "NotDurable", "PredictionLog"]

log = logging.getLogger("skline.log")

#: Seconds between two tries of a store that is away: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


class PredictionLog:
    """Writes predictions to the store of the settings.

    Opening it starts the writer's thread and touches neither disk nor network, so that a store which is away keeps no
    service from starting.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self._queue = RowQueue(settings.queue_rows)
        self._encode = Encoder(settings, EntityHasher(settings))
        self._store: Store | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._deadline = float("inf")
        # In sync mode a row is fetched at once, and what comes during a commit shares the next.
        self._enough = 1 if settings.mode == "sync" else min(settings.batch_rows, settings.queue_rows)
        self._counts = Counts(settings)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._off = settings.mode == "off"
        if not self._off:
            self._thread.start()

    @property
    def whole(self) -> bool:
        """Whether the rows of a request can be handed over together: nothing is to be done to each, nobody waits."""
        return self.settings.mode == "async" and self._encode.plain

    def put(self, record: Prediction) -> bool:
        """Hand over one row; returns at once, whatever the store does, and never raises. From any thread.

        False if it was dropped because the queue is full (or the log closed); the log counts and warns.
        """
        if self._off:
            return True
        if self._closing.is_set() or not self._queue.add(record):
            self._counts.drop(1)
            return False
        if len(self._queue) >= self._enough and not self._wake.is_set():
            self._wake.set()
        return True

    def put_many(self, records: Sequence[Prediction]) -> int:
        """Hand over the rows of a batch, as `put`; returns how many were taken, the first ones."""
        if self._off:
            return len(records)
        taken = 0 if self._closing.is_set() else self._queue.extend(list(records))
        if taken < len(records):
            self._counts.drop(len(records) - taken)
        if len(self._queue) >= self._enough:
            self._wake.set()
        return taken

    def put_answered(self, answered: Answered) -> bool:
        """Hand over the rows of one request, as `put`: all of them, or none. Only where `whole` says so."""
        if self._closing.is_set() or not self._queue.add_all(answered):
            self._counts.drop(len(answered))
            return False
        if len(self._queue) >= self._enough:
            self._wake.set()
        return True

    async def append(self, records: Sequence[Prediction]) -> None:
        """Hand over the rows of one answer; in sync mode return when they are durable, else at once.

        Raises
        ------
        NotDurable
            In sync mode alone: if the rows are not durable within `sync_ms`, the queue is full, or the store can
            never take one of them. Some of them may be in the log nevertheless.
        """
        if self.settings.mode != "sync" or not records:
            self.put_many(records)
            return
        if self._closing.is_set() or len(self._queue) + len(records) > self._queue.size:
            self._counts.drop(len(records))
            raise NotDurable(
                f"{len(records)} rows do not fit: {len(self._queue)} of {self._queue.size} wait already, "
                "or the log is closed; try again later"
            )
        ticket = Ticket(len(records))
        self._queue.extend(list(records), ticket)
        self._wake.set()
        try:
            async with asyncio.timeout(self.settings.sync_ms / 1000):
                await ticket.future
        except TimeoutError:
            raise NotDurable(
                f"the prediction could not be written down within {self.settings.sync_ms} ms; "
                f"the store says: {self._counts.trouble}"
            ) from None
        finally:
            ticket.abandoned = not ticket.future.done() or ticket.future.cancelled()

    def stats(self) -> LogStats:
        """What has become of the rows so far. Cheap; from any thread."""
        return self._counts.snapshot(len(self._queue))

    def close(self) -> LogStats:
        """Take no more rows and write those that wait, for `drain_seconds` at most; what is left counts as dropped."""
        self._deadline = time.monotonic() + self.settings.drain_seconds
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(self.settings.drain_seconds + 2)
        if self._thread.is_alive():
            self._counts.warn("close", "the store did not answer in %s s, rows are lost", self.settings.drain_seconds)
        return self.stats()

    def _run(self) -> None:
        """The writer's thread: batch after batch until the log is closed and the queue empty."""
        while True:
            # Set by who adds the row that makes a batch; otherwise it is the time that makes one.
            self._wake.wait(None if self._enough == 1 else self.settings.batch_ms / 1000)
            self._wake.clear()
            while batch := self._queue.take(self.settings.batch_rows):
                self._deliver(batch)
                self._counts.in_hand = 0
                if len(self._queue) < self._enough and not self._closing.is_set():
                    break
            if self._closing.is_set() and not len(self._queue):
                break
        self._leave_store()

    def _deliver(self, batch: list[Waiting]) -> None:
        """Write a batch, however long the store is away; closing sets an end to it."""
        pause = FIRST_PAUSE
        while batch := [waiting for waiting in batch if not self._is_abandoned(waiting)]:
            self._counts.in_hand = rows = sum(map(rows_of, batch))
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001 (if this thread ended, the log would end with it, unnoticed)
                self._leave_store()
                self._counts.fail(error, len(self._queue))
            else:
                return
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._counts.drop(rows)
                return
            # When closing, `wait` would return at once.
            time.sleep(min(pause, left)) if self._closing.is_set() else self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _write(self, batch: list[Waiting]) -> None:
        """Write a batch; rows that can never be written are refused, one by one, and the others written."""
        if self._store is None:
            self._store = open_store(self.settings, durable=self.settings.mode == "sync")
        written: list[Ticket | None] = []
        refused: list[tuple[Ticket | None, Exception]] = []
        for run in runs(batch):
            if not isinstance(run, Answered):
                self._write_rows(self._store, run, written, refused)
            elif self._write_answered(self._store, run):
                written += [None] * len(run)
            else:
                self._write_rows(self._store, [(row, None) for row in run.predictions()], written, refused)
        self._settle(written, refused)

    def _write_answered(self, store: Store, answered: Answered) -> bool:
        """Write rows of a request as they are; False if they have to be made first, or one cannot be written."""
        try:
            return store.write_answered(answered)
        except RowsRefused:
            return False

    def _write_rows(
        self,
        store: Store,
        batch: list[Single],
        written: list[Ticket | None],
        refused: list[tuple[Ticket | None, Exception]],
    ) -> None:
        """Write rows one by one or together; add who waited for each to the ones or the others."""
        fit, unfit = self._encode.fitting(batch)
        refused += unfit
        try:
            store.write("predictions", [row for row, _ in fit])
            written += [ticket for _, ticket in fit]
        except RowsRefused:
            for row, ticket in fit:
                try:
                    store.write("predictions", [row])
                    written.append(ticket)
                except RowsRefused as error:
                    refused.append((ticket, error))

    def _settle(self, written: list[Ticket | None], refused: list[tuple[Ticket | None, Exception]]) -> None:
        """Count a batch, and wake who waited for it."""
        self._counts.store(len(written), len(self._queue))
        ready = {ticket for ticket in written if ticket is not None and ticket.done()}
        for ticket, error in refused:
            self._counts.refuse(error)
            if ticket is not None and ticket.done(f"the log cannot store a row ({type(error).__name__})"):
                ready.add(ticket)
        if ready:
            wake(ready)

    def _is_abandoned(self, waiting: Waiting) -> bool:
        """Whether nobody waits any longer for a row somebody did wait for; count it then."""
        if isinstance(waiting, Answered) or waiting[1] is None or not waiting[1].abandoned:
            return False
        self._counts.abandoned += 1
        return True

    def _leave_store(self) -> None:
        """Close the connection; the next batch opens another."""
        if self._store is not None:
            self._store.close()
            self._store = None
