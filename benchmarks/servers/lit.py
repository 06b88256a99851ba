"""LitServe: one API process and one inference process, with and without batching."""

from typing import Any

from benchmarks.load.workload import Workload
from benchmarks.servers.base import Server, Site, module


class LitServe(Server):
    """LitServe; with batching, its loop collects requests from the queue."""

    requirements = ("litserve", "uvloop", "httptools")
    batch_path = "/predict"

    def __init__(self, *, batching: bool) -> None:
        self.batch = ("64", "0.01") if batching else ("1", "0")
        self.name = "litserve-batching" if batching else "litserve"
        self.title = "LitServe, batching" if batching else "LitServe"
        waits = "`max_batch_size={}`, `batch_timeout={}`; ".format(*self.batch) if batching else ""
        self.setup = f"{waits}pydantic rows; one inference worker; one OpenMP thread"

    def command(self, site: Site) -> list[str]:
        """A script that runs the server, as its documentation shows."""
        return module(site, "litserve_api", *self.batch)

    def probabilities(self, answer: Any, workload: Workload) -> Any:  # noqa: ARG002
        """A list a row."""
        return answer["probabilities"]
