"""Canaries that were taken back, in a file beside the prediction log: a restart, or another worker, must not try again.

Lines are only added. A new experiment, with a salt of its own, is another canary.
"""

import logging
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from skline.release.experiment import Experiment
from skline.release.manifest import Arm

log = logging.getLogger("skline.serving")


class Canary(BaseModel):
    """Which canary it was, and why it was taken back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    salt: str
    challenger: str
    reason: str


class Aborted:
    """The file; each line is a `Canary`.

    Attributes
    ----------
    failures : int
        How often the file could be neither read nor written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failures = 0
        self._read: tuple[int, int] | None = None
        self._known: dict[tuple[str, str, str], str] = {}

    def reason(self, experiment: Experiment, arm: Arm) -> str | None:
        """Say why a canary was taken back, here or by another process; None if it was not. Reads what is new."""
        try:
            stat = self._path.stat()
            if self._read != (stat.st_ino, stat.st_size):
                self._known = self._all()
                self._read = stat.st_ino, stat.st_size
        except FileNotFoundError:
            self._read, self._known = None, {}
        except OSError as error:
            self.failures += 1
            log.warning("%s cannot be read (%s): a canary that was taken back may be asked", self._path, error.strerror)
        return self._known.get((experiment.name, experiment.salt, arm.sha256))

    def note(self, experiment: Experiment, arm: Arm, reason: str) -> None:
        """Add a canary, durably; where that fails, this process alone knows."""
        canary = Canary(experiment=experiment.name, salt=experiment.salt, challenger=arm.sha256, reason=reason)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                # It begins a line of its own, after one that was cut off.
                os.write(handle, b"\n" + canary.model_dump_json().encode() + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self.failures += 1
            log.warning(
                "%s cannot be written (%s): after a restart the canary is asked again; end it with `skline abort`",
                self._path,
                error.strerror,
            )

    def _all(self) -> dict[tuple[str, str, str], str]:
        """Read all lines; one that was cut off is told, and left out."""
        found = {}
        for line in self._path.read_bytes().splitlines():
            if not line:
                continue
            try:
                one = Canary.model_validate_json(line)
            except ValidationError:
                log.warning("%s has a line that says nothing; it is left out", self._path)
            else:
                found[one.experiment, one.salt, one.challenger] = one.reason
        return found
