"""Base class of the servers: how to start one, the body of its requests, and how to read its responses."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload

ROOT = Path(__file__).parents[2]
APPS = "benchmarks.apps"
#: Variables that would make a server's process differ from one that its user starts.
NOT_INHERITED = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")


@dataclass(frozen=True)
class Site:
    """Where one server runs: its interpreter, its workload, a folder to write into, and its ports.

    `port` is measured; the other two are for servers that need more.
    """

    python: Path
    workload: Workload
    folder: Path
    port: int
    second_port: int
    third_port: int

    @property
    def log(self) -> Path:
        """Path of the server's output."""
        return self.folder / "server.log"

    def script(self, name: str) -> str:
        """Return the path of a command in the server's environment."""
        return str(self.python.parent / name)


class Server(ABC):
    """One row of the comparison.

    Attributes
    ----------
    name : str
        Name for `--only`.
    title : str
        Title in the table.
    role : {"ours", "alternative", "reference"}
        References do not score: they measure the cost of the web server alone.
    requirements : tuple of str
        Requirements of its environment; servers with the same requirements share one.
    path : str
        Path for one row.
    batch_path : str or None
        Path for a batch, if it has one.
    threads : int or None
        OMP_NUM_THREADS; None leaves it unset.
    headers : mapping
        Headers of every request.
    setup : str
        Description of its setup for the page.
    """

    name: str
    title: str
    role: Literal["ours", "alternative", "reference"] = "alternative"
    requirements: tuple[str, ...]
    path = "/predict"
    batch_path: str | None = "/predict/batch"
    threads: int | None = 1
    headers: Mapping[str, str] = {}
    setup: str

    @abstractmethod
    def command(self, site: Site) -> list[str]:
        """Return the command that starts it on 127.0.0.1 and `site.port`, with one worker."""

    def prepare(self, site: Site) -> None:  # noqa: B027 (most have nothing to prepare)
        """Write the files that the server reads at start; not part of any measured time."""

    def variables(self, site: Site) -> dict[str, str]:  # noqa: ARG002
        """Return the environment variables of this server."""
        return {}

    def body(self, rows: list[Row]) -> Any:
        """Return the JSON value of a request for one row, given as a list of one."""
        return self.batch_body(rows)

    def batch_body(self, rows: list[Row]) -> Any:
        """Return the JSON value of a request for a batch."""
        return rows

    @abstractmethod
    def probabilities(self, response: Any, workload: Workload) -> Any:
        """Read the response to one row or a batch: array-like of shape (n_rows, n_classes)."""

    def environ(self, site: Site) -> dict[str, str]:
        """Return all environment variables: the caller's, the project's code on the path, and `variables`."""
        environ = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
        environ |= {
            "PATH": f"{site.python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "BENCHMARK_WORKLOAD": str(site.workload.folder),
            "BENCHMARK_PORT": str(site.port),
            "DO_NOT_TRACK": "1",
        }
        if self.threads is not None:
            environ["OMP_NUM_THREADS"] = str(self.threads)
        return environ | self.variables(site)


def uvicorn(site: Site, app: str) -> list[str]:
    """Return the command for an app in benchmarks/apps on one uvicorn worker, with uvloop and httptools."""
    command = [str(site.python), "-m", "uvicorn", f"{APPS}.{app}", "--host", HOST, "--port", str(site.port)]
    return [*command, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]


def module(site: Site, name: str, *arguments: str) -> list[str]:
    """Return the command for a module in benchmarks/apps."""
    return [str(site.python), "-m", f"{APPS}.{name}", *arguments]
