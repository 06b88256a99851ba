"""The journal of releases: who changed what is served, when, why, and on which verdict. Lines are only ever appended.

A line is written and flushed before its release is published, so nothing is ever served that the journal lacks. Each
line holds the whole release: a rollback needs this file and the artifacts, and nothing else.
"""

import datetime as dt
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from skline.errors import SklineError
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
    """The verdict that a promotion is based on; `stale` if it compared with another champion than the one in force."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    source: str
    champion_sha256: str | None = None
    stale: bool = False


class Entry(BaseModel):
    """One line of the journal.

    `follows` is the number of the release that was in force before, `restores` that of the release that a rollback
    returned to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: dt.datetime
    who: str
    action: Action
    what: str
    why: str = ""
    approval: Approval | None = None
    verdict: PromotionVerdict | None = None
    follows: int | None = None
    restores: int | None = None
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
    """Read the journal; a missing file is an empty journal.

    A line that cannot be parsed, for example because a power failure cut it off, is left out, and its number is
    reported in `damaged_lines`.

    Raises
    ------
    SklineError
        If the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Journal((), ())
    except OSError as error:
        raise SklineError(f"{path} cannot be read: {error.strerror}") from error
    entries, damaged = [], []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError:
            damaged.append(number)
    return Journal(tuple(entries), tuple(damaged))


def append_entry(path: Path, entry: Entry) -> None:
    """Append a line durably. Call it while holding `exclusive_lock`.

    Raises
    ------
    SklineError
        If the line cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        last_line_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        line = (b"\n" if last_line_torn else b"") + entry.model_dump_json(exclude_none=True).encode() + b"\n"
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    except OSError as error:
        raise SklineError(f"{path} cannot be written ({error.strerror}); nothing was changed") from error
    finally:
        os.close(handle)


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Let one command at a time change the releases in a folder; the kernel frees the lock of a killed process.

    Raises
    ------
    SklineError
        If another command holds the lock for longer than LOCK_TIMEOUT_SECONDS.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SklineError(f"another command is changing {folder}; retry when it has finished") from None
                time.sleep(0.05)
            else:
                break
        yield
