"""The service of a replay: `skline serve` in the clone, with its log in sync mode: a response is a row in the log."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from skline import paths
from skline.errors import SklineError
from skline.release.services import read_statuses
from skline.retraining.replay.commands import Commands

READY_SECONDS = 120.0
#: After SIGTERM the service finishes its requests.
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
#: A response means that its row is in the log; a new release is in service within a fraction of a second; and half a
#: year of traffic comes in minutes, from one address.
VARIABLES = {
    "SKLINE_LOG__MODE": "sync",
    "SKLINE_LOG__SYNC_MS": "30000",
    "SKLINE_WATCH_SECONDS": "0.2",
    "SKLINE_LIMITS__RATE": "off",
}

if sys.platform == "win32":
    KILL = signal.SIGTERM  # every signal ends a process there
else:
    KILL = signal.SIGKILL


class Service:
    """Starts, watches and stops the service.

    Attributes
    ----------
    port : int
        Of loopback; another one after each start.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start the service and wait until it is ready; one that an interrupted replay has left is stopped first.

        Raises
        ------
        SklineError
            If it ends, or is not ready in time.
        """
        stop_leftovers(self._commands.project)
        self.port = free_port()
        variables = VARIABLES | {"SKLINE_PORT": str(self.port)}
        self._process = self._commands.start("serve", variables=variables)
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            status = self._process.poll()
            if status is not None:
                raise self._commands.failure("skline serve", status)
            if time.monotonic() > deadline:
                self.stop()
                raise SklineError(f"the service is not ready after {READY_SECONDS:g} s; see {self._commands.output}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the service, and wait until it has finished its requests."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as response:
                return int(response.status) == 200
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_leftovers(project: Path) -> None:
    """Stop the services that follow the releases of the clone: those of a replay that was killed.

    Raises
    ------
    SklineError
        If one does not end.
    """
    manifest = project / paths.RELEASE
    deadline = time.monotonic() + STOP_SECONDS
    sent = signal.SIGTERM
    while statuses := read_statuses(manifest):
        for status in statuses:
            try:
                os.kill(status.pid, sent)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            if sent == KILL:
                raise SklineError(f"the service of an interrupted replay, process {statuses[0].pid}, does not end")
            sent, deadline = KILL, time.monotonic() + STOP_SECONDS
        time.sleep(POLL_SECONDS)
