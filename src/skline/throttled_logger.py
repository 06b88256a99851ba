"""Log a repeated message at most once per interval, with the number of suppressed repeats."""

import logging
import time
from collections.abc import Callable

INTERVAL_SECONDS = 10.0
#: Bound of the memory for distinct messages; a service has fewer ways to fail.
MAX_MESSAGES = 100


class Throttle:
    """Admits each message at most once per INTERVAL_SECONDS.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: When each message was last admitted, and how often it was suppressed since.
        self._messages: dict[str, tuple[float, int]] = {}

    def admit(self, message: str) -> str | None:
        """Return a message with the number of suppressed repeats; None if it is suppressed, and counted."""
        now = self._clock()
        logged_at, suppressed = self._messages.get(message, (now - INTERVAL_SECONDS, 0))
        if now - logged_at < INTERVAL_SECONDS:
            self._messages[message] = logged_at, suppressed + 1
            return None
        if len(self._messages) >= MAX_MESSAGES:
            self._messages.clear()
        self._messages[message] = now, 0
        return f"{message} (repeated {suppressed} times)" if suppressed else message


class ThrottledLogger:
    """Logs each message at most once per INTERVAL_SECONDS; `clock` returns the time in seconds."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._throttle = logger, Throttle(clock)

    def log(self, level: int, message: str) -> None:
        """Log a message, or count it as suppressed."""
        admitted = self._throttle.admit(message)
        if admitted is not None:
            self._logger.log(level, "%s", admitted)


class RepeatFilter(logging.Filter):
    """Lets each warning of a logger pass at most once per INTERVAL_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes; a warning that does gets the number of suppressed repeats."""
        if record.levelno != logging.WARNING:
            return True
        admitted = self._throttle.admit(record.getMessage())
        if admitted is not None:
            record.msg, record.args = admitted, None
        return admitted is not None
