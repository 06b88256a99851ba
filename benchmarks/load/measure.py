"""One visit to one server: a fresh process, the time to its first right answer, a proof, and the client."""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.load import wrk
from benchmarks.load.processes import ServerFailed, free_ports, memory_mb, post, running, until
from benchmarks.load.workload import DISTINCT_ROWS, Workload
from benchmarks.servers.base import Server, Site

READY_SECONDS = 60.0
PROVED_ROWS = 64
WARM_UP_SECONDS = 1
ONE, MANY, BATCH = "one", "many", "batch"
#: Measure → concurrent connections.
CONNECTIONS = {ONE: 1, MANY: 64, BATCH: 4}
#: Requests answered one after another before the next measurement: what the last one left behind is worked off by then.
SETTLING_REQUESTS = 3


@dataclass(frozen=True)
class Reading:
    """One figure of one round: `what` is such as "many rate", "one p99_ms", "start_seconds", "memory_mb"."""

    server: str
    workload: str
    round: int
    what: str
    value: float


@dataclass(frozen=True)
class Opened:
    """A server that runs, whose answers were proved and that is warm; `bodies` are the requests' files by measure."""

    server: Server
    workload: Workload
    port: int
    pid: int
    start_seconds: float
    bodies: Mapping[str, Path]

    def take(self, measure: str, seconds: int) -> dict[str, float] | None:
        """Drive it and return its figures by name; None if it has no such route.

        Raises
        ------
        ServerFailed
            If it answers wrongly afterwards.
        """
        path = self.server.batch_path if measure == BATCH else self.server.path
        if path is None:
            return None
        figures = wrk.drive(self.port, path, self.bodies[measure], CONNECTIONS[measure], seconds, self.server.headers)
        settle(self.server, self.workload, self.port)
        return {
            f"{measure} rate": figures.rate * (len(self.workload.rows) if measure == BATCH else 1),
            f"{measure} failed": figures.failed,
            f"{measure} p50_ms": figures.p50_ms,
            f"{measure} p99_ms": figures.p99_ms,
        }


@contextlib.contextmanager
def opened(server: Server, workload: Workload, python: Path, cache: Path) -> Iterator[Opened]:
    """Start the server in a folder of its own below `cache`, prove its answers, warm it up; stop it at the end.

    Raises
    ------
    ServerFailed
        If it does not start or a number is wrong; nothing is measured on a server that answers wrongly.
    """
    folder = cache / f"{server.name}-{workload.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = Site(python, workload, folder.resolve(), *free_ports(3))
    server.prepare(site)
    one, many = folder / "rows.jsonl", folder / "batch.jsonl"
    one.write_text("".join(json.dumps(server.body([row])) + "\n" for row in workload.rows[:DISTINCT_ROWS]))
    many.write_text(json.dumps(server.batch_body(workload.rows)) + "\n")
    started = time.perf_counter()
    with running(server.command(site), server.environ(site), site.folder, site.log) as process:

        def right() -> bool:
            return not wrong(server, workload, site.port, [0])

        start_seconds = until(right, process, started, READY_SECONDS, site.log)
        prove(server, workload, site.port)
        with contextlib.suppress(wrk.NothingAnswered):  # it may take longer for its first answers
            wrk.drive(site.port, server.path, one, CONNECTIONS[MANY], WARM_UP_SECONDS, server.headers)
        settle(server, workload, site.port)
        bodies = {ONE: one, MANY: one, BATCH: many}
        yield Opened(server, workload, site.port, process.pid, start_seconds, bodies)


def visit(
    server: Server,
    workload: Workload,
    python: Path,
    cache: Path,
    number: int,
    seconds: int,
    measures: Sequence[str] = (ONE, MANY, BATCH),
) -> list[Reading]:
    """Start the server, prove its answers, take `measures` of it in round `number`, stop it.

    Raises
    ------
    ServerFailed
        If it does not start or a number is wrong.
    """
    with opened(server, workload, python, cache) as there:
        found = {"start_seconds": there.start_seconds}
        for measure in measures:
            found |= there.take(measure, seconds) or {}
        found["memory_mb"] = memory_mb(there.pid)
    return [Reading(server.name, workload.name, number, what, value) for what, value in found.items()]


def settle(server: Server, workload: Workload, port: int) -> None:
    """Wait until the server has worked off its queue; ServerFailed if it answers wrongly now."""
    for _ in range(SETTLING_REQUESTS):
        if complaint := wrong(server, workload, port, [0]):
            raise ServerFailed(f"after load it answered wrongly: {complaint}")


def prove(server: Server, workload: Workload, port: int) -> None:
    """Ask about PROVED_ROWS rows, sixteen at a time, and about one batch; every probability must be right.

    Raises
    ------
    ServerFailed
        With the first wrong answer.
    """
    questions: list[Sequence[int]] = [[index] for index in range(PROVED_ROWS)]
    if server.batch_path is not None:
        questions.append(range(len(workload.rows)))
    with ThreadPoolExecutor(16) as pool:
        complaints = list(filter(None, pool.map(lambda rows: wrong(server, workload, port, rows), questions)))
    if complaints:
        raise ServerFailed(f"{len(complaints)} of {len(questions)} answers were wrong; the first: {complaints[0]}")


def wrong(server: Server, workload: Workload, port: int, indices: Sequence[int]) -> str:
    """Ask about rows of the workload; return what is wrong with the answer, or an empty string."""
    rows = [workload.rows[index] for index in indices]
    body, path = (server.body(rows), server.path) if len(rows) == 1 else (server.batch_body(rows), server.batch_path)
    status, content = post(port, str(path), json.dumps(body).encode(), server.headers)
    if status != 200:
        return f"status {status}, {content[:200].decode(errors='replace')}"
    try:
        found = np.atleast_2d(np.asarray(server.probabilities(json.loads(content), workload), dtype=np.float64))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return f"unreadable answer ({type(error).__name__}: {error}): {content[:200].decode(errors='replace')}"
    constant = [0] * len(rows)
    return difference(found, workload.probabilities[constant if server.role == "reference" else list(indices)])


def difference(found: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> str:
    """Say how far answers are from the pipeline's, or nothing if they are the same bits: JSON keeps all of them."""
    if found.shape != right.shape:
        return f"{found.shape} probabilities instead of {right.shape}"
    if np.array_equal(found, right):
        return ""
    return f"probabilities differ by up to {np.abs(found - right).max():.3g}"
