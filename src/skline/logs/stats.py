"""Counters of the prediction log, and its throttled warnings."""

import logging
import threading
import time
from dataclasses import dataclass

from skline.errors import SklineError
from skline.logs.settings import LogSettings, Mode

#: Minimum time between two warnings of one kind.
WARNING_INTERVAL_SECONDS = 10.0

log = logging.getLogger("skline.logs")


@dataclass(frozen=True)
class LogStats:
    """The state of the prediction log. Times are seconds since 1970.

    Attributes
    ----------
    queued : int
        Rows in the queue or being written.
    queue_rows : int
        Capacity of the queue.
    written : int
        Rows in the database.
    dropped : int
        Rows that found the queue full, or were left when closing took too long.
    rejected : int
        Rows that hold a value that the database can never store.
    abandoned : int
        Rows of sync mode that were not written, because their caller no longer waited.
    failed_batches : int
        Failed attempts to write.
    last_error : str or None
        The last failure; None again after a batch was written.
    last_error_at, last_commit_at : float or None
    """

    mode: Mode
    queued: int
    queue_rows: int
    written: int
    dropped: int
    rejected: int
    abandoned: int
    failed_batches: int
    last_error: str | None
    last_error_at: float | None
    last_commit_at: float | None


class LogCounters:
    """The counters behind LogStats, for the writer's thread; `count_dropped`, `warn` and `snapshot` are thread-safe.

    Attributes
    ----------
    in_flight : int
        Rows that were taken from the queue and are not written yet.
    abandoned : int
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.in_flight = self.abandoned = 0
        self._written = self._dropped = self._rejected = self._failed_batches = 0
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._last_commit_at: float | None = None
        self._warned_at: dict[str, float] = {}

    @property
    def store_state(self) -> str:
        """The last failure of the database, for messages."""
        return self._last_error or "no error, but it is slow"

    def snapshot(self, queued: int) -> LogStats:
        """Return the counters as they are now; `queued` is the length of the queue."""
        return LogStats(
            mode=self._settings.mode,
            queued=queued + self.in_flight,
            queue_rows=self._settings.queue_rows,
            written=self._written,
            dropped=self._dropped,
            rejected=self._rejected,
            abandoned=self.abandoned,
            failed_batches=self._failed_batches,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            last_commit_at=self._last_commit_at,
        )

    def count_written(self, rows: int, queued: int) -> None:
        """Count rows as written; log the recovery if the last attempt had failed."""
        self._written += rows
        self._last_commit_at = time.time()
        if self._last_error is not None:
            database = self._settings.redacted_database
            log.warning("prediction log: %s is available again, %d rows are queued", database, queued)
            self._last_error = None

    def count_rejected(self, error: Exception) -> None:
        """Count a row that can never be stored. Only the error's type is logged: its message may hold values."""
        self._rejected += 1
        self.warn("rejected", "%d rows could not be stored, the last with %s", self._rejected, type(error).__name__)

    def count_failure(self, error: Exception, queued: int) -> None:
        """Count a failed attempt to write."""
        self._failed_batches += 1
        self._last_error, self._last_error_at = f"{type(error).__name__}: {error}", time.time()
        expected = isinstance(error, SklineError | OSError)
        self.warn("failed", "%s; %d rows are queued, retrying", error, queued, traceback=not expected)

    def count_dropped(self, rows: int) -> None:
        """Count lost rows. From any thread."""
        with self._lock:
            self._dropped += rows
        self.warn(
            "dropped",
            "%d rows dropped so far: the queue of %d rows is full or the log is closed; state of the database: %s",
            self._dropped,
            self._settings.queue_rows,
            self.store_state,
        )

    def warn(self, kind: str, message: str, *values: object, traceback: bool = False) -> None:
        """Log a warning, but each kind at most once in WARNING_INTERVAL_SECONDS."""
        now = time.monotonic()
        if now - self._warned_at.get(kind, -WARNING_INTERVAL_SECONDS) >= WARNING_INTERVAL_SECONDS:
            self._warned_at[kind] = now
            log.warning(f"prediction log: {message}", *values, exc_info=traceback)  # noqa: G004 - a constant prefix
