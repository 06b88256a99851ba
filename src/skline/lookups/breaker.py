"""A circuit breaker: a store that fails repeatedly is not called for a while, and then costs no request its timeout."""

import time
from collections.abc import Callable

#: Failures in a row after which the store is not called.
MAX_FAILURES = 5
#: Seconds until one call tries it again.
PAUSE_SECONDS = 5.0


class CircuitBreaker:
    """Counts the failures of a store in a row (Nygard, Release It!, 2007).

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0

    def allows_call(self) -> bool:
        """Return whether the store may be called; after a pause, one call at a time may try."""
        if self._failures < MAX_FAILURES:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._retry_at = now + PAUSE_SECONDS
        return True

    def record_success(self) -> None:
        """Call the store again from now on."""
        self._failures = 0

    def record_failure(self) -> None:
        """Count a failure."""
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._retry_at = self._clock() + PAUSE_SECONDS
