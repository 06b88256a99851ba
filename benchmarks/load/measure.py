"""One visit to one server: a fresh process, the time to its first right answer, a proof, and the client."""

import contextlib
import json
import shutil
import time
from collections.abc import Sequence
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
    bodies, paths = {ONE: one, MANY: one, BATCH: many}, {BATCH: server.batch_path}
    found: dict[str, float] = {}
    started = time.perf_counter()
    with running(server.command(site), server.environ(site), site.folder, site.log) as process:

        def right() -> bool:
            return not wrong(server, workload, site.port, [0])

        found["start_seconds"] = until(right, process, started, READY_SECONDS, site.log)
        prove(server, workload, site.port)
        with contextlib.suppress(wrk.NothingAnswered):  # it may take longer for its first answers
            wrk.drive(site.port, server.path, one, CONNECTIONS[MANY], WARM_UP_SECONDS, server.headers)
        settle(server, workload, site.port)
        for measure in measures:
            path = paths.get(measure, server.path)
            if path is None:
                continue
            figures = wrk.drive(site.port, path, bodies[measure], CONNECTIONS[measure], seconds, server.headers)
            rows = len(workload.rows) if measure == BATCH else 1
            found |= {f"{measure} rate": figures.rate * rows, f"{measure} failed": figures.failed}
            found |= {f"{measure} p50_ms": figures.p50_ms, f"{measure} p99_ms": figures.p99_ms}
            settle(server, workload, site.port)
        found["memory_mb"] = memory_mb(process.pid)
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
