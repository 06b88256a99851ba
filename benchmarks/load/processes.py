"""Start a server on loopback, send it requests, measure its memory, and stop it with all of its descendants.

Other processes are never signalled.
"""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from skline.errors import SklineError

HOST = "127.0.0.1"
POLL_SECONDS = 0.005
STOP_SECONDS = 5.0


class ServerFailed(SklineError):
    """A server that did not start, did not respond, or sent a wrong response."""


@contextlib.contextmanager
def running(command: list[str], env: Mapping[str, str], cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in a process group of its own with its output in `log`; stop the group afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process and its descendants; kill those that do not end in time, each by its id."""
    children = descendants(process.pid)
    try:
        send_signal(process.pid, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:  # also after a second interrupt
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pid in children:  # some servers put their workers into groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and its descendants; SIGSTOP pauses them, SIGCONT resumes them."""
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def descendants(pid: int) -> list[int]:
    """Return the ids of the children of `pid`, their children, and so on."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    ids: list[int] = []
    pending = [pid]
    while pending:
        next_level = children.get(pending.pop(), [])
        ids += next_level
        pending += next_level
    return ids


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants in MB; shared pages count once (PSS)."""
    total = 0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], started: float, limit: float, log: Path
) -> float:
    """Poll until `condition` is true; return the seconds since `started` (of `time.perf_counter`).

    Raises
    ------
    ServerFailed
        If the process ends or `limit` seconds pass first; the message contains the end of its log.
    """
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if condition():
                return time.perf_counter() - started
        if process.poll() is not None:
            raise ServerFailed(
                f"the server exited with status {process.returncode} before its first response: {tail(log)}"
            )
        if time.perf_counter() - started > limit:
            raise ServerFailed(f"no correct response within {limit:.0f} s: {tail(log)}")
        time.sleep(POLL_SECONDS)


def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """POST JSON on a new loopback connection; return the status and the body of the response."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"} | dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Return different ports on loopback that are free at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def tail(log: Path) -> str:
    """Return the end of a log, on one line, without absolute paths."""
    text = re.sub(r"(?<![\w.])(?:/[\w.+@-]+){2,}", "…", log.read_text(errors="replace"))
    return " ".join(text.split())[-300:] or "the log is empty"
