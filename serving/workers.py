"""One of several processes that share a port: what it does otherwise than a service of one process."""

import asyncio
import logging
import multiprocessing
import os
import signal

from serving.settings import ServiceSettings

log = logging.getLogger("skline.serving")


def is_worker() -> bool:
    """Whether another process started this one, and looks after it."""
    return multiprocessing.parent_process() is not None


def end_with_parent() -> None:
    """End this process as SIGTERM does when the one that started it is gone: nobody would look after it, or end it.

    To be called in the running event loop.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def gone() -> None:
        loop.remove_reader(sentinel)
        log.error("the process that started this worker is gone; the worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, gone)


def differences(settings: ServiceSettings, workers: int) -> list[str]:
    """What several workers do not share, for the log."""
    if workers == 1:
        return []
    own = "/metrics, the log's queue, a day's reviews, what a canary's guards count, and all bounds of memory"
    if settings.limits.store is None:
        own = f"rate limits, {own}"
    return [f"{workers} workers: {own} are each worker's own; replicas of one worker can be measured one by one"]
