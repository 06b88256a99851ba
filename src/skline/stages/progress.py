"""Show on a terminal that a long step is still running. It never touches the estimator or its output."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

UPDATE_SECONDS = 1.0
#: Returns to the start of the line and clears it (ECMA-48: EL).
CLEAR_LINE = "\r\x1b[K"


@contextmanager
def show_elapsed(step: str) -> Iterator[None]:
    """Show the name of a step and the elapsed time on stderr while the block runs; nothing where it is no terminal.

    scikit-learn has no stable interface that reports the progress of a fit, so that only the elapsed time is shown:
    it works for every estimator.
    """
    if not sys.stderr.isatty():
        yield
        return
    finished, started, is_shown = threading.Event(), time.monotonic(), False

    def update() -> None:
        nonlocal is_shown
        while not finished.wait(UPDATE_SECONDS):
            is_shown = True
            minutes, seconds = divmod(int(time.monotonic() - started), 60)
            print(f"{CLEAR_LINE}{step} {minutes}:{seconds:02}", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=update, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        if is_shown:  # a short step leaves the line to what others show there
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
