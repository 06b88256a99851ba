"""What has become of the rows, counted for metrics and told to people, but not too often."""

import logging
import threading
import time
from dataclasses import dataclass

from skline.errors import SklineError
from skline.logs.settings import LogSettings, Mode

#: Seconds between two warnings of one kind.
QUIET = 10.0

log = logging.getLogger("skline.logs")


@dataclass(frozen=True)
class LogStats:
    """What has become of the rows so far; times are seconds since 1970.

    `queued` wait or are being written; `written` are in the store; `dropped` found the queue full, or were left when
    closing took too long; `refused` hold what the store can never take; `abandoned` were not written because nobody
    waited any longer (sync mode). `failed_batches` counts tries that failed; `last_error` is None again once a batch
    is written.
    """

    mode: Mode
    queued: int
    queue_rows: int
    written: int
    dropped: int
    refused: int
    abandoned: int
    failed_batches: int
    last_error: str | None
    last_error_at: float | None
    last_commit_at: float | None


class Counts:
    """The counts behind LogStats. All but `drop` and `snapshot` are called by the writer's thread alone."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.in_hand = self.abandoned = 0
        self._written = self._dropped = self._refused = self._failed = 0
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._last_commit_at: float | None = None
        self._warned: dict[str, float] = {}

    @property
    def trouble(self) -> str:
        """What the store said last, if it is away."""
        return self._last_error or "nothing, it is slow"

    def snapshot(self, waiting: int) -> LogStats:
        """The counts as they are now; `waiting` rows are in the queue."""
        return LogStats(
            mode=self._settings.mode,
            queued=waiting + self.in_hand,
            queue_rows=self._settings.queue_rows,
            written=self._written,
            dropped=self._dropped,
            refused=self._refused,
            abandoned=self.abandoned,
            failed_batches=self._failed,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            last_commit_at=self._last_commit_at,
        )

    def store(self, rows: int, waiting: int) -> None:
        """Rows are in the store."""
        self._written += rows
        self._last_commit_at = time.time()
        if self._last_error is not None:
            log.warning("prediction log: %s is back, %d rows wait", self._settings.shown_database, waiting)
            self._last_error = None

    def refuse(self, error: Exception) -> None:
        """A row can never be stored. Only the error's type is told: its message may hold values."""
        self._refused += 1
        self.warn("refused", "%d rows could not be stored, the last for %s", self._refused, type(error).__name__)

    def fail(self, error: Exception, waiting: int) -> None:
        """A try to write failed."""
        self._failed += 1
        self._last_error, self._last_error_at = f"{type(error).__name__}: {error}", time.time()
        known = isinstance(error, SklineError | OSError)
        self.warn("failed", "%s; %d rows wait, trying again", error, waiting, traceback=not known)

    def drop(self, rows: int) -> None:
        """Rows are lost. From any thread."""
        with self._lock:
            self._dropped += rows
        self.warn(
            "dropped",
            "%d rows dropped so far, the queue of %d is full or the log closed; the store says: %s",
            self._dropped,
            self._settings.queue_rows,
            self.trouble,
        )

    def warn(self, kind: str, message: str, *values: object, traceback: bool = False) -> None:
        """Warn, but of each kind once in QUIET seconds."""
        now = time.monotonic()
        if now - self._warned.get(kind, -QUIET) >= QUIET:
            self._warned[kind] = now
            log.warning(f"prediction log: {message}", *values, exc_info=traceback)  # noqa: G004 - a constant before it
