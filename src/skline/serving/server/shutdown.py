"""Graceful shutdown: report not ready, wait, then stop.

At SIGTERM /health/ready responds with 503 at once, so that load balancers send new requests elsewhere. After `seconds`
the server stops as it always does: it accepts no more connections, completes the requests being processed, and the
application closes what it has open. A second SIGTERM skips the wait.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("skline.serving")


def install_graceful_shutdown(on_shutdown: Callable[[], None], seconds: float) -> None:
    """Call `on_shutdown` and wait before SIGTERM has its effect in this process.

    Call this in the running event loop, after the server has installed its own handler. Where the loop is not the
    main thread's there are no signals to handle, and this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    stop_server = signal.getsignal(signal.SIGTERM)
    if not callable(stop_server):
        return
    draining = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal draining
        if draining or not seconds:
            on_shutdown()
            stop_server(number, frame)
            return
        draining = True
        loop.call_soon_threadsafe(drain, number)

    def drain(number: int) -> None:
        log.info("SIGTERM: the service is not ready from now on, and stops in %g s", seconds)
        on_shutdown()
        loop.call_later(seconds, stop_server, number, None)

    signal.signal(signal.SIGTERM, handle)
