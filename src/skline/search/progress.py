"""Progress of a search where the output is no terminal, such as a log of CI: a plain line now and then."""

import sys
import time

#: Seconds between two lines.
INTERVAL_SECONDS = 15.0


class PlainProgress:
    """Writes lines to standard error, at most one in `interval` seconds; none on a terminal, which has a bar.

    Parameters
    ----------
    interval : float
        Seconds.
    """

    def __init__(self, interval: float = INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._last = time.monotonic()

    def show(self, line: str) -> None:
        """Write the line if the last one is long enough ago."""
        now = time.monotonic()
        if not sys.stderr.isatty() and now - self._last >= self._interval:
            self._last = now
            print(line, file=sys.stderr, flush=True)
