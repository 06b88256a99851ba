"""What the services that follow a release manifest say about its newest release, for commands.

The command that published the release reports it, and so do `skline doctor` and `skline monitor`.

Each process of a service keeps a status file in `services/`, in the folder of the manifest, and a lock file that it
holds locked while it runs: the kernel frees the lock of a killed process, so a file whose lock is free is left over. A
process that cannot write there is not seen.
"""

import datetime as dt
import logging
import os
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from skline import clock
from skline.files import write_text
from skline.locks import is_locked, try_lock

log = logging.getLogger("skline.serving")

FOLDER = "services"
#: How long a command waits for the services; they check for a new release every second (`watch_seconds`).
WAIT_SECONDS = 10.0
POLL_SECONDS = 0.1


class ServiceState(BaseModel):
    """The state of one process.

    Attributes
    ----------
    address : str
        Where the service listens.
    version : str
        The model version in service, or the one being loaded.
    release : int or None
        Number of the release in service; None if it is an artifact without a release.
    checked : int or None
        Number of the newest release that was applied or rejected.
    rejected : str or None
        Why the newest release or artifact is not in service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    version: str
    release: int | None
    checked: int | None
    rejected: str | None


class ServiceStatus(ServiceState):
    """The content of a status file."""

    pid: int
    time: dt.datetime


class StatusFile:
    """The status file of this process, next to the manifest at `manifest`."""

    def __init__(self, manifest: Path) -> None:
        self._folder = manifest.parent / FOLDER
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock: IO[str] | None = None
        self._written: ServiceState | None = None
        self._failed = False

    def write(self, state: ServiceState) -> None:
        """Write the state if it has changed or the file is gone.

        Nothing is written as long as the manifest's folder does not exist. A folder that cannot be written to is logged
        once, and not tried again until the state changes.
        """
        if not self._folder.parent.is_dir() or (state == self._written and (self._failed or self._exists())):
            return
        self._written = state
        status = ServiceStatus(**state.model_dump(), pid=os.getpid(), time=clock.now())
        try:
            self._hold_lock()
            write_text(self._path, status.model_dump_json(indent=2) + "\n")
        except OSError as error:
            if not self._failed:
                log.info("%s: `skline promote` and `rollback` do not see this service", error)
            self._failed = True
        else:
            self._failed = False

    def remove(self) -> None:
        """Remove the file: the process no longer serves."""
        if self._lock is not None:
            _remove(self._path)
            self._lock.close()

    def _exists(self) -> bool:
        return self._path.exists() and _lock_path(self._path).exists()

    def _hold_lock(self) -> None:
        """Lock the lock file; it is created anew if it was deleted."""
        path = _lock_path(self._path)
        if self._lock is not None and path.exists():
            return
        self._folder.mkdir(exist_ok=True)
        file = path.open("w")
        try_lock(file.fileno())
        if self._lock is not None:
            self._lock.close()
        self._lock = file


def read_statuses(manifest: Path) -> list[ServiceStatus]:
    """Return the status of each running process that follows a manifest; files of ended processes are removed."""
    statuses = []
    for path in sorted((manifest.parent / FOLDER).glob("*.json")):
        if not is_locked(_lock_path(path)):
            _remove(path)
            continue
        try:
            statuses.append(ServiceStatus.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue  # it ended just now, or is of another version of skline
    return statuses


def wait_for_services(manifest: Path, number: int, seconds: float = WAIT_SECONDS) -> list[ServiceStatus]:
    """Wait until each running process has applied or rejected a release, for at most `seconds`; return their status."""
    deadline = time.monotonic() + seconds
    while True:
        statuses = read_statuses(manifest)
        if all((status.checked or 0) >= number for status in statuses) or time.monotonic() > deadline:
            return statuses
        time.sleep(POLL_SECONDS)


def has_rejected(status: ServiceStatus, number: int) -> bool:
    """Whether a process has rejected a release, or a later one."""
    return (status.checked or 0) >= number and status.rejected is not None


def describe_statuses(statuses: list[ServiceStatus], number: int) -> list[str]:
    """Return a line for each address and what its processes say about a release."""
    lines = Counter((status.address, _describe(status, number)) for status in statuses)
    return [
        f"{address}{f' ({count} processes)' if count > 1 else ''}: {text}" for (address, text), count in lines.items()
    ]


def describe_rejections(statuses: list[ServiceStatus]) -> list[str]:
    """Return a line for each address whose processes do not serve the newest release or artifact, with the reason."""
    rejecting = Counter(
        (status.address, status.version, status.rejected) for status in statuses if status.rejected is not None
    )
    return [
        f"the service at {address}{f' ({count} processes)' if count > 1 else ''} still serves {version}: {reason}"
        for (address, version, reason), count in rejecting.items()
    ]


def _describe(status: ServiceStatus, number: int) -> str:
    if (status.checked or 0) < number:
        return f"no answer within {WAIT_SECONDS:g} s, perhaps it still loads the model; in service: {status.version}"
    if status.rejected is not None:
        return f"rejected: {status.rejected} (in service: {status.version})"
    if (status.release or 0) < number:
        return f"failed, see its log; in service: {status.version}"
    return f"in service: {status.version}"


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _remove(path: Path) -> None:
    """Remove a status file and its lock, if this user may."""
    try:
        path.unlink(missing_ok=True)
        _lock_path(path).unlink(missing_ok=True)
    except OSError:
        log.debug("%s cannot be removed", path)
