"""Start a server on loopback, ask it, weigh it, and stop it with everything it has started."""

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
    """A server that did not start, did not answer, or answered wrongly."""


@contextlib.contextmanager
def running(command: list[str], env: Mapping[str, str], cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in a process group of its own with its output in `log`; stop all of it afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and its descendants: first politely, then those that are left, each by its id."""
    below = descendants(process.pid)
    try:
        tell(process.pid, signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:  # also when interrupted once more
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pid in below:  # some servers put their workers into groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def tell(pid: int, what: signal.Signals) -> None:
    """Send a signal to a process and its descendants: SIGSTOP holds them still, SIGCONT lets them go on."""
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, what)


def descendants(pid: int) -> list[int]:
    """Ids of the children of `pid`, their children, and so on."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its descendants in megabytes; shared pages are counted once (PSS)."""
    total = 0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


def until(
    answered: Callable[[], bool], process: subprocess.Popen[bytes], started: float, limit: float, log: Path
) -> float:
    """Ask until `answered` is true; return the seconds since `started` (of `time.perf_counter`).

    Raises
    ------
    ServerFailed
        If the process ends or `limit` seconds pass first; the message has the end of its log.
    """
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if answered():
                return time.perf_counter() - started
        if process.poll() is not None:
            raise ServerFailed(f"it ended with status {process.returncode} before it answered: {tail(log)}")
        if time.perf_counter() - started > limit:
            raise ServerFailed(f"no right answer within {limit:.0f} s: {tail(log)}")
        time.sleep(POLL_SECONDS)


def post(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """POST JSON on a fresh loopback connection; return the status and the body of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"} | dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on at the moment, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def tail(log: Path) -> str:
    """The end of a log, on one line, without paths of this machine."""
    text = re.sub(r"(?<![\w.])(?:/[\w.+@-]+){2,}", "…", log.read_text(errors="replace"))
    return " ".join(text.split())[-300:] or "its log is empty"
