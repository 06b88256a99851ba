"""The journal of releases: who changed what is served, when, why, and on what verdict. Lines are only ever added.

A line is written and flushed before its release is published, so nothing was ever served that it does not tell of.
Each holds the whole release: taking one back needs this file and the artifacts, and nothing else.
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
#: Seconds to wait for another command that changes the same releases.
PATIENCE = 5.0


class Approval(BaseModel):
    """Who said yes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str


class Judged(BaseModel):
    """The verdict that a promotion rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    source: str
    champion_sha256: str | None = None
    stale: bool = False


class Entry(BaseModel):
    """One line: who did what and why; `follows` is the release that was in force, `restores` the one taken up again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: dt.datetime
    who: str
    action: Action
    what: str
    why: str = ""
    approval: Approval | None = None
    verdict: Judged | None = None
    follows: int | None = None
    restores: int | None = None
    release: Release


@dataclass(frozen=True)
class Journal:
    """The lines that can be read, oldest first, and the numbers of those that cannot."""

    entries: tuple[Entry, ...]
    damaged: tuple[int, ...]

    def release(self, number: int) -> Entry | None:
        """The entry of a release."""
        return next((entry for entry in self.entries if entry.release.number == number), None)

    @property
    def last_number(self) -> int:
        """The highest number that was given."""
        return max((entry.release.number for entry in self.entries), default=0)


def read(path: Path) -> Journal:
    """Read the journal; a line that was cut off, as by a power failure, is left out and named."""
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


def append(path: Path, entry: Entry) -> None:
    """Add a line, durably. To be called under `locked`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + entry.model_dump_json(exclude_none=True).encode() + b"\n"
        while line:
            line = line[os.write(handle, line) :]
        os.fsync(handle)
    except OSError as error:
        raise SklineError(f"{path} cannot be written ({error.strerror}); nothing was changed") from error
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one command at a time change the releases in a folder; a process that was killed holds no lock."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise SklineError(f"another command is changing {folder}; wait until it is done") from None
                time.sleep(0.05)
            else:
                break
        yield
