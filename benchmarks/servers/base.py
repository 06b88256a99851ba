"""What the benchmark has to know about a server: how to start it, what to send, how to read its answer."""

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
#: What would make a server's process differ from one that its user starts.
NOT_INHERITED = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")


@dataclass(frozen=True)
class Site:
    """Where one server runs: its interpreter, what it serves, a folder to write into, and its ports.

    `port` is measured; the other two are for servers that insist on more.
    """

    python: Path
    workload: Workload
    folder: Path
    port: int
    second_port: int
    third_port: int

    @property
    def log(self) -> Path:
        """Where the server's output goes."""
        return self.folder / "server.log"

    def script(self, name: str) -> str:
        """A command that its environment has installed."""
        return str(self.python.parent / name)


class Server(ABC):
    """One row of the comparison.

    Attributes
    ----------
    name : str
        What `--only` takes.
    title : str
        What the table shows.
    role : {"ours", "alternative", "reference"}
        References do no scoring: they say what the web server alone costs.
    requirements : tuple of str
        What is installed into its environment; servers with the same requirements share one.
    path : str
        Where one row is posted.
    batch_path : str or None
        Where many rows are posted, if it takes them.
    threads : int or None
        OMP_NUM_THREADS; None leaves it unset.
    headers : mapping
        Headers of every request.
    setup : str
        How it was set up, for the page.
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
        """The command line that starts it on 127.0.0.1 and `site.port`, with one worker."""

    def prepare(self, site: Site) -> None:  # noqa: B027 (most have nothing to prepare)
        """Write what the server reads at start; not part of any measured time."""

    def variables(self, site: Site) -> dict[str, str]:  # noqa: ARG002
        """Environment variables of its own."""
        return {}

    def body(self, rows: list[Row]) -> Any:
        """The JSON value that asks about one row, given as a list of one."""
        return self.batch_body(rows)

    def batch_body(self, rows: list[Row]) -> Any:
        """The JSON value that asks about many rows."""
        return rows

    @abstractmethod
    def probabilities(self, answer: Any, workload: Workload) -> Any:
        """Read the answer to one row or to a batch: array-like of shape (n_rows, n_classes)."""

    def environ(self, site: Site) -> dict[str, str]:
        """All environment variables: the caller's, the project's code on the path, and `variables`."""
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
    """The command for an app below benchmarks/apps on one uvicorn worker with its fastest parts."""
    command = [str(site.python), "-m", "uvicorn", f"{APPS}.{app}", "--host", HOST, "--port", str(site.port)]
    return [*command, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]


def module(site: Site, name: str, *arguments: str) -> list[str]:
    """The command for a module below benchmarks/apps."""
    return [str(site.python), "-m", f"{APPS}.{name}", *arguments]
