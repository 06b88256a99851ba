"""The journal of releases: who changed what is served, when, why, and on which verdict. Lines are only ever appended.

A line is written and flushed before its release is published, so nothing is ever served that the journal lacks; a line
whose release was not published, because the command was killed in between, is recognised (`manifest.is_pending`). Each
line holds the whole release: a rollback needs this file and the artifacts, and nothing else.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from skline.files import append_line, read_json_lines
from skline.locks import file_lock
from skline.release.experiment import Experiment
from skline.release.manifest import Release

Action = Literal["promote", "canary", "ab", "shadow", "ramp", "abort", "rollback", "flag"]
#: Time to wait for another command that changes the same releases.
LOCK_TIMEOUT_SECONDS = 5.0


class Approval(BaseModel):
    """The approval of a promotion: the approver's name, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str


class PromotionVerdict(BaseModel):
    """The verdict that a promotion is based on; `stale` if it compared with another champion than the one in force.

    It has not `passed` only if the version passed when it was registered, failed since, and was approved all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    source: str
    champion_sha256: str | None = None
    stale: bool = False


class Entry(BaseModel):
    """One line of the journal.

    `follows` is the number of the release that was in force before, `restores` that of the release that a rollback
    returned to. `accepted_digest` is one that a person accepted because the record of registered versions lacks it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: AwareDatetime
    who: str
    action: Action
    what: str
    why: str = ""
    approval: Approval | None = None
    verdict: PromotionVerdict | None = None
    follows: int | None = None
    restores: int | None = None
    accepted_digest: str | None = None
    release: Release


@dataclass(frozen=True)
class Journal:
    """The entries that can be read, oldest first, and the numbers of the lines that cannot."""

    entries: tuple[Entry, ...]
    damaged_lines: tuple[int, ...]

    def entry(self, number: int) -> Entry | None:
        """Return the entry of a release."""
        return next((entry for entry in self.entries if entry.release.number == number), None)

    @property
    def last_number(self) -> int:
        """The highest release number so far."""
        return max((entry.release.number for entry in self.entries), default=0)


def read_journal(path: Path) -> Journal:
    """Read the journal; a missing file is an empty journal, and a damaged line is left out and reported.

    Raises
    ------
    SklineError
        If the file cannot be read.
    """
    lines = read_json_lines(path, Entry)
    return Journal(lines.values, lines.damaged_lines)


def share_changes(journal: Journal, experiment: Experiment) -> list[dt.datetime]:
    """Return when the challenger's share of an experiment was set or changed, by releases and the steps of their ramps.

    Steps that a later release replaced are among them.
    """
    changes: set[dt.datetime] = set()
    share: object = None
    for entry in journal.entries:
        release = entry.release
        arm, running = release.challenger, release.experiment
        if arm is None or running is None or (running.name, running.salt) != (experiment.name, experiment.salt):
            continue
        if share != (arm.weight, running.steps, running.started_at):
            share = (arm.weight, running.steps, running.started_at)
            changes |= {running.started_at + dt.timedelta(seconds=step.after_seconds) for step in running.steps}
            changes.add(release.published_at)
    return sorted(changes)


def append_entry(path: Path, entry: Entry) -> None:
    """Append a line durably. Call it while holding `exclusive_lock`.

    Raises
    ------
    SklineError
        If the line cannot be written.
    """
    append_line(path, entry.model_dump_json(exclude_none=True).encode())


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Let one command at a time change the releases in a folder; the kernel frees the lock of a killed process.

    Raises
    ------
    SklineError
        If another command holds the lock for longer than LOCK_TIMEOUT_SECONDS.
    """
    message = f"another command is changing {folder}; retry when it has finished"
    with file_lock(folder / ".lock", message, LOCK_TIMEOUT_SECONDS):
        yield
