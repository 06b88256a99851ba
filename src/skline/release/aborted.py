"""The record of aborted canaries, kept next to the prediction log: neither a restart nor another worker retries one.

The file is only appended to. A new experiment has a new salt, so it counts as another canary.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from skline.errors import SklineError
from skline.files import append_line, read_json_lines
from skline.release.experiment import Experiment
from skline.release.manifest import Arm

log = logging.getLogger("skline.serving")

#: Name of the file, in the folder of the log.
FILE_NAME = "aborted-canaries.jsonl"


class AbortedCanary(BaseModel):
    """One line of the file: the canary, and why it was aborted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    salt: str
    challenger: str
    reason: str


class AbortedCanaries:
    """The file of aborted canaries, one JSON object a line.

    Attributes
    ----------
    failures : int
        How often the file could not be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failures = 0
        self._read_state: tuple[int, int] | None = None  # inode and size of the file when it was last read
        self._reasons: dict[tuple[str, str, str], str] = {}

    def reason_for(self, experiment: Experiment, arm: Arm) -> str | None:
        """Return why a canary was aborted, by this process or another; None if it was not.

        The file is read again if it has changed.
        """
        try:
            stat = self._path.stat()
            if self._read_state != (stat.st_ino, stat.st_size):
                self._reasons = self._read_all()
                self._read_state = stat.st_ino, stat.st_size
        except FileNotFoundError:
            self._read_state, self._reasons = None, {}
        except (OSError, SklineError) as error:
            self.failures += 1
            log.warning("%s: an aborted canary may get requests", error)
        return self._reasons.get((experiment.name, experiment.salt, arm.sha256))

    def add(self, experiment: Experiment, arm: Arm, reason: str) -> None:
        """Append a canary, durably; if that fails, only this process treats the canary as aborted."""
        canary = AbortedCanary(experiment=experiment.name, salt=experiment.salt, challenger=arm.sha256, reason=reason)
        try:
            append_line(self._path, canary.model_dump_json().encode())
        except SklineError as error:
            self.failures += 1
            log.warning("%s: after a restart the canary gets requests again; end it with `skline abort`", error)

    def _read_all(self) -> dict[tuple[str, str, str], str]:
        """Read all lines; skip and report those that were cut off."""
        lines = read_json_lines(self._path, AbortedCanary)
        if lines.damaged_lines:
            log.warning("%s has lines that are not aborted canaries: %s", self._path, lines.damaged_lines)
        return _by_canary(lines.values)


def abort_reason(path: Path, experiment: Experiment, arm: Arm) -> str | None:
    """Return why a service aborted a canary; None if none did.

    Raises
    ------
    SklineError
        If the file cannot be read.
    """
    return _by_canary(read_json_lines(path, AbortedCanary).values).get((experiment.name, experiment.salt, arm.sha256))


def _by_canary(lines: Iterable[AbortedCanary]) -> dict[tuple[str, str, str], str]:
    return {(each.experiment, each.salt, each.challenger): each.reason for each in lines}
