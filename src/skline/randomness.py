"""Random names in bulk: asking the system for a few bytes takes several microseconds, for thousands hardly more."""

import os
from collections import deque

#: Names fetched at once.
STORE = 512


class RandomHex:
    """Gives strings of random hexadecimal digits, from the system's generator. Thread-safe; a fork starts anew.

    Parameters
    ----------
    size : int
        Random bytes of each; it has twice as many digits.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: deque[str] = deque()
        # Parent and child must not give the same names.
        os.register_at_fork(after_in_child=self._ready.clear)

    def __call__(self) -> str:
        """Return a string that was never returned before."""
        try:
            return self._ready.pop()
        except IndexError:
            text, width = os.urandom(self._size * STORE).hex(), 2 * self._size
            self._ready.extend(text[start : start + width] for start in range(width, len(text), width))
            return text[:width]
