"""An orderly end: first say that this process will go, then go.

At SIGTERM /health/ready turns to 503 at once, so that whoever spreads the requests sends them elsewhere. After
`seconds` the server ends as it always does: it takes no more connections, answers what is being answered, and the
application closes what it has open. A second SIGTERM skips the wait.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("skline.serving")


def before_end(announce: Callable[[], None], seconds: float) -> None:
    """Put `announce` and a wait before what SIGTERM does in this process.

    To be called in the running event loop, after the server has put its own handler in place. Where the loop is
    not the main thread's there are no signals to handle, and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    end = signal.getsignal(signal.SIGTERM)
    if not callable(end):
        return
    announced = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal announced
        if announced or not seconds:
            announce()
            end(number, frame)
            return
        announced = True
        loop.call_soon_threadsafe(wait, number)

    def wait(number: int) -> None:
        log.info("told to end: not ready from now on, ending in %g s", seconds)
        announce()
        loop.call_later(seconds, end, number, None)

    signal.signal(signal.SIGTERM, handle)
