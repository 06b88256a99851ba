"""Log a repeated message at most once per interval, with the number of suppressed repeats."""

import logging
import time
from collections.abc import Callable

INTERVAL_SECONDS = 10.0
#: Bound of the memory for distinct messages; a service has fewer ways to fail.
MAX_MESSAGES = 100


class ThrottledLogger:
    """Logs each message at most once per INTERVAL_SECONDS.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        #: When each message was last logged, and how often it was suppressed since.
        self._messages: dict[str, tuple[float, int]] = {}

    def log(self, level: int, message: str) -> None:
        """Log a message, or count it as suppressed."""
        now = self._clock()
        logged_at, suppressed = self._messages.get(message, (now - INTERVAL_SECONDS, 0))
        if now - logged_at < INTERVAL_SECONDS:
            self._messages[message] = logged_at, suppressed + 1
            return
        if len(self._messages) >= MAX_MESSAGES:
            self._messages.clear()
        self._messages[message] = now, 0
        self._logger.log(level, "%s%s", message, f" (repeated {suppressed} times)" if suppressed else "")
