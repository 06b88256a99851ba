"""Measurement of one server: start a process, time its first correct response, verify all responses, apply load.

A server with wrong responses is never measured.
"""

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
from benchmarks.load.processes import ServerFailed, free_ports, memory_mb, post, running, wait_until
from benchmarks.load.workload import DISTINCT_ROWS, Workload
from benchmarks.servers.base import Server, Site

READY_SECONDS = 60.0
VERIFIED_ROWS = 64
WARM_UP_SECONDS = 1
ONE, MANY, BATCH = "one", "many", "batch"
#: Measure → concurrent connections.
CONNECTIONS = {ONE: 1, MANY: 64, BATCH: 4}
#: Sequential requests before the next measurement; after them the queue of the last measurement is empty.
SETTLING_REQUESTS = 3


@dataclass(frozen=True)
class Reading:
    """One value of one round; `figure` is such as "many rate", "one p99_ms", "start_seconds" or "memory_mb"."""

    server: str
    workload: str
    round: int
    figure: str
    value: float


@dataclass(frozen=True)
class RunningServer:
    """A running server, verified and warmed up; `bodies` are the files of request bodies by measure."""

    server: Server
    workload: Workload
    port: int
    pid: int
    start_seconds: float
    bodies: Mapping[str, Path]

    def measure(self, measure: str, seconds: int) -> dict[str, float] | None:
        """Apply load and return the figures by name; None if the server has no route for the measure.

        Raises
        ------
        ServerFailed
            If a response is wrong afterwards.
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
def start_server(server: Server, workload: Workload, python: Path, cache: Path) -> Iterator[RunningServer]:
    """Start the server in a folder of its own below `cache`, verify its responses, warm it up; stop it at the end.

    Raises
    ------
    ServerFailed
        If it does not start or a probability is wrong.
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

        def is_correct() -> bool:
            return not check_response(server, workload, site.port, [0])

        start_seconds = wait_until(is_correct, process, started, READY_SECONDS, site.log)
        verify_responses(server, workload, site.port)
        with contextlib.suppress(wrk.NoGoodResponse):  # its first responses may take longer than the warm-up
            wrk.drive(site.port, server.path, one, CONNECTIONS[MANY], WARM_UP_SECONDS, server.headers)
        settle(server, workload, site.port)
        bodies = {ONE: one, MANY: one, BATCH: many}
        yield RunningServer(server, workload, site.port, process.pid, start_seconds, bodies)


def measure_server(
    server: Server,
    workload: Workload,
    python: Path,
    cache: Path,
    number: int,
    seconds: int,
    measures: Sequence[str] = (ONE, MANY, BATCH),
) -> list[Reading]:
    """Start the server, verify its responses, take the measures of round `number`, stop it.

    Raises
    ------
    ServerFailed
        If it does not start or a probability is wrong.
    """
    with start_server(server, workload, python, cache) as running_server:
        figures = {"start_seconds": running_server.start_seconds}
        for measure in measures:
            figures |= running_server.measure(measure, seconds) or {}
        figures["memory_mb"] = memory_mb(running_server.pid)
    return [Reading(server.name, workload.name, number, figure, value) for figure, value in figures.items()]


def settle(server: Server, workload: Workload, port: int) -> None:
    """Wait until the server's queue is empty; ServerFailed if a response is wrong."""
    for _ in range(SETTLING_REQUESTS):
        if error := check_response(server, workload, port, [0]):
            raise ServerFailed(f"wrong response after load: {error}")


def verify_responses(server: Server, workload: Workload, port: int) -> None:
    """Request VERIFIED_ROWS rows, sixteen at a time, and one batch; every probability must be that of the pipeline.

    Raises
    ------
    ServerFailed
        With the first wrong response.
    """
    requests: list[Sequence[int]] = [[index] for index in range(VERIFIED_ROWS)]
    if server.batch_path is not None:
        requests.append(range(len(workload.rows)))
    with ThreadPoolExecutor(16) as pool:
        errors = list(filter(None, pool.map(lambda rows: check_response(server, workload, port, rows), requests)))
    if errors:
        raise ServerFailed(f"{len(errors)} of {len(requests)} responses are wrong; the first: {errors[0]}")


def check_response(server: Server, workload: Workload, port: int, indices: Sequence[int]) -> str:
    """Request rows of the workload; return the error in the response, or an empty string."""
    rows = [workload.rows[index] for index in indices]
    body, path = (server.body(rows), server.path) if len(rows) == 1 else (server.batch_body(rows), server.batch_path)
    status, content = post(port, str(path), json.dumps(body).encode(), server.headers)
    if status != 200:
        return f"status {status}, {content[:200].decode(errors='replace')}"
    try:
        probabilities = np.atleast_2d(np.asarray(server.probabilities(json.loads(content), workload), dtype=np.float64))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return f"unreadable response ({type(error).__name__}: {error}): {content[:200].decode(errors='replace')}"
    expected = [0] * len(rows) if server.role == "reference" else list(indices)
    return difference(probabilities, workload.probabilities[expected])


def difference(actual: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> str:
    """Describe how probabilities differ from the pipeline's; empty if all bits are equal, which JSON preserves."""
    if actual.shape != expected.shape:
        return f"{actual.shape} probabilities instead of {expected.shape}"
    if np.array_equal(actual, expected):
        return ""
    return f"probabilities differ by up to {np.abs(actual - expected).max():.3g}"
