"""Worker processes that share a port, and how they differ from a service of one process."""

import asyncio
import logging
import multiprocessing
import os
import signal

from uvicorn.supervisors import Multiprocess

from skline.serving.settings import ServiceSettings

log = logging.getLogger("skline.serving")


class WorkerSupervisor(Multiprocess):
    """uvicorn's parent process, which notices at once if a worker is killed while it waits for the worker's response.

    uvicorn pings each worker through a pipe and keeps a copy of the worker's end. The pipe of a killed worker
    therefore stays open, and the parent waits for the whole timeout: meanwhile it neither replaces the worker nor
    follows SIGTERM.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._close_workers_ends()

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that died or do not respond."""
        super().keep_subprocess_alive()
        self._close_workers_ends()

    def _close_workers_ends(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def is_worker() -> bool:
    """Return whether this process is one of several workers, started by a parent that replaces it."""
    return multiprocessing.parent_process() is not None


def exit_with_parent() -> None:
    """Terminate this worker as SIGTERM does when its parent dies, so that no orphan is left.

    Call it in the running event loop.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def terminate() -> None:
        loop.remove_reader(sentinel)
        log.error("the parent process died; this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, terminate)


def multi_worker_warnings(settings: ServiceSettings, workers: int) -> list[str]:
    """Return what several workers do not share, as warnings for the log."""
    if workers == 1:
        return []
    separate = "/metrics, the log's queue, the reviews of a day, the counts of a canary's guards, and all memory limits"
    if settings.limits.store is None:
        separate = f"rate limits, {separate}"
    return [
        f"{workers} workers: each has its own {separate}; to monitor each process, run replicas of one worker instead"
    ]
