"""LitServe: one API process and one inference process, with and without batching."""

from typing import Any

from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server, Site, module


class LitServe(Server):
    """LitServe; with `batching`, (rows, seconds), its loop collects requests from the queue.

    `queue` is "fast" for ZeroMQ between the two processes, or "plain" for a queue of multiprocessing.
    """

    requirements = ("litserve", "pyzmq", "uvloop", "httptools")
    batch_path = "/predict"

    def __init__(self, batching: tuple[int, float] | None = None, queue: str = "plain") -> None:
        self.arguments = (*map(str, batching or (1, 0)), queue)
        self.name = "litserve-batching" if batching else "litserve"
        self.title = "LitServe, batching" if batching else "LitServe"
        waits = "`max_batch_size={}`, `batch_timeout={}`; ".format(*batching) if batching else ""
        fast = "`fast_queue`; " if queue == "fast" else ""
        self.setup = f"{waits}{fast}pydantic rows; one inference worker; one OpenMP thread"

    def command(self, site: Site) -> list[str]:
        """Return the command of a script that runs the server, as in its documentation."""
        return module(site, "litserve_api", *self.arguments)

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Return a list for each row."""
        return response["probabilities"]
