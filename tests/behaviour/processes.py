"""Processes that run in a folder, and SIGKILL for them at random moments."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """A running process: its id, and when it began, in clock ticks since boot; ids are used again."""

    pid: int
    started: int


class Status(NamedTuple):
    """What is known of a running process; seconds are processor time, with that of its ended children."""

    parent: int
    seconds: float
    folder: Path
    command: str


def running_processes() -> dict[Process, Status]:
    """Return the processes of this machine that can be inspected."""
    return dict(filter(None, map(_read_process, Path("/proc").glob("[0-9]*"))))


def _read_process(entry: Path) -> tuple[Process, Status] | None:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()  # from the third on, see proc_pid_stat(5)
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        folder = (entry / "cwd").readlink()
    except OSError:  # it has ended, or is another user's
        return None
    seconds = sum(map(int, fields[11:15])) / TICKS
    return Process(int(entry.name), int(fields[19])), Status(int(fields[1]), seconds, folder, command)


def tree_seconds(process: Process, running: Mapping[Process, Status]) -> float:
    """Return the processor time of a process and of those that descend from it."""
    children = [other for other, status in running.items() if status.parent == process.pid]
    return running[process].seconds + sum(tree_seconds(child, running) for child in children)


@dataclass(frozen=True)
class Part:
    """What is killed: what its command line contains, and the longest lifetime, in seconds of processor time."""

    text: str
    lifetime: float


@dataclass
class Killer:
    """Gives each process of a part a random lifetime, at the end of which it is killed; until each part has its kills.

    A lifetime is processor time, with that of the processes that it started, so that a busy machine changes nothing.

    Parameters
    ----------
    folders : sequence of Path
        Where the processes run.
    parts : mapping of str to Part
    kills : int
        Of each part.
    seed : int
        Lifetimes are drawn evenly from 0 to the longest one.
    """

    folders: Sequence[Path]
    parts: Mapping[str, Part]
    kills: int
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable
        self._lifetimes: dict[Process, float] = {}
        self._started = time.monotonic()

    @property
    def is_done(self) -> bool:
        """Whether every part was killed often enough."""
        return all(self.done[name] >= self.kills for name in self.parts)

    def step(self) -> None:
        """Give new processes a lifetime, and kill those whose lifetime is over."""
        if self.is_done:
            return
        running = running_processes()
        for process, name in self._targets(running):
            used = tree_seconds(process, running)
            lifetime = self._lifetimes.setdefault(process, used + self._random.uniform(0, self.parts[name].lifetime))
            if used >= lifetime:
                self._lifetimes[process] = float("inf")
                os.kill(process.pid, signal.SIGKILL)
                self.done[name] += 1
                self.history.append(f"{time.monotonic() - self._started:6.1f} s  {name} after {used:.1f} s of work")

    def _targets(self, running: Mapping[Process, Status]) -> Iterator[tuple[Process, str]]:
        """Yield the processes of parts that are to be killed more often."""
        for process, status in running.items():
            name = next((name for name, part in self.parts.items() if part.text in status.command), None)
            if status.folder in self.folders and name is not None and self.done[name] < self.kills:
                yield process, name
