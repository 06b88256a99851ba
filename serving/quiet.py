"""Lines that a failure repeats with every request: said once in a while, and counted between."""

import logging
import time
from collections.abc import Callable

#: Seconds in which one line is said once.
QUIET = 10.0
#: Different lines that are remembered; more than a service has reasons to fail.
MOST = 100


class Quiet:
    """Says a line at most once in QUIET seconds, with how often it was not said since."""

    def __init__(self, log: logging.Logger, ticks: Callable[[], float] = time.monotonic) -> None:
        self._log, self._ticks = log, ticks
        self._said: dict[str, tuple[float, int]] = {}

    def say(self, level: int, line: str) -> None:
        """Log a line, or count it."""
        now = self._ticks()
        since, unsaid = self._said.get(line, (now - QUIET, 0))
        if now - since < QUIET:
            self._said[line] = since, unsaid + 1
            return
        if len(self._said) >= MOST:
            self._said.clear()
        self._said[line] = now, 0
        self._log.log(level, "%s%s", line, f" ({unsaid} more times since)" if unsaid else "")
