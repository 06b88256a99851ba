"""What monitoring remembers between runs: the earlier windows, and what was posted to the webhook.

One versioned JSON file in the folder of the log, written atomically under a lock: a monitor that is killed leaves the
old state or the new one, and two monitors take turns.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from skline.errors import SklineError
from skline.files import write_text
from skline.locks import file_lock
from skline.monitoring.checks import Part, State
from skline.monitoring.estimates import Estimate
from skline.monitoring.persistence import PastWindow
from skline.monitoring.result import WindowResult

#: Version of the file. Version 1 lacks the figures of the page, versions 1 and 2 the notifications; both are read.
STATE_VERSION: Literal[3] = 3
FILE_NAME = "monitor.json"
#: How long a monitor waits for another one.
LOCK_TIMEOUT_SECONDS = 600.0


class PastResult(BaseModel):
    """What is kept of an earlier window.

    Attributes
    ----------
    raised : dict of str to bool or None
        Whether each check was raised, by its key; None: too few data to tell.
    metric, estimate : str or None, Estimate
        The main metric on matured labels; None and empty without labels, and in windows of version 1 of the file.
    drift : float or None
        Importance-weighted drift.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    length: str
    artifact_digest: str
    start: dt.datetime
    end: dt.datetime
    written_at: dt.datetime
    state: State
    states: dict[Part, State]
    sentence: str
    rows: int
    raised: dict[str, bool | None]
    metric: str | None = None
    estimate: Estimate = Estimate()
    drift: float | None = None

    @classmethod
    def of(cls, result: WindowResult) -> "PastResult":
        """Return what is kept of a result."""
        window = result.window
        main = result.main_metric
        return cls(
            name=window.name,
            length=window.length,
            artifact_digest=window.artifact_digest,
            start=window.start,
            end=window.end,
            written_at=result.written_at,
            state=result.state,
            states=result.states,
            sentence=result.sentence,
            rows=window.rows,
            raised={check.key: check.raised for check in result.checks},
            metric=None if main is None else main.name,
            estimate=Estimate() if main is None else main.estimate,
            drift=None if result.drift is None else result.drift.importance,
        )


#: A state as it is posted to a webhook; failed: monitoring itself failed.
PostedState = State | Literal["failed"]


class Message(BaseModel):
    """A message that is about to be posted: its id, and its states, by part and of `all`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    created_at: dt.datetime
    states: dict[str, PostedState]


class Notification(BaseModel):
    """What was posted to the webhook about the windows of one length.

    Attributes
    ----------
    states : dict of str to PostedState
        By part and of `all`, as posted last.
    told_at : datetime or None
        When the last message was posted; None before the first one.
    pending : Message or None
        Stored before it is posted, and removed after: if it is still there at the next run, the monitor was stopped
        in between.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    states: dict[str, PostedState] = {}
    told_at: dt.datetime | None = None
    pending: Message | None = None


class MonitorState(BaseModel):
    """All that monitoring remembers.

    Attributes
    ----------
    windows : tuple of PastResult
        The newest last.
    notifications : dict of str to Notification
        By the length of the windows.
    webhook_failures : int
        Messages whose delivery failed or is unknown, since the file was created.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1, 2, 3] = STATE_VERSION
    windows: tuple[PastResult, ...] = ()
    notifications: dict[str, Notification] = {}
    webhook_failures: int = 0

    @property
    def names(self) -> set[str]:
        """The names of the windows."""
        return {each.name for each in self.windows}

    def comparable(self, length: str, artifact_digest: str) -> list[PastWindow]:
        """Return the earlier windows of the same length and artifact, whose reference is the same."""
        return [
            PastWindow(each.start, each.end, each.raised)
            for each in self.windows
            if each.length == length and each.artifact_digest == artifact_digest
        ]

    def is_newest(self, end: dt.datetime, now: dt.datetime) -> bool:
        """Whether no remembered window ends later; those that end after `now`, as in a test, are ignored."""
        return all(each.end <= end for each in self.windows if each.end <= now)

    def with_notification(self, length: str, notification: Notification, failures: int = 0) -> "MonitorState":
        """Return the state with what was posted about the windows of one length, and with more failures."""
        return self.model_copy(
            update={
                "version": STATE_VERSION,
                "notifications": self.notifications | {length: notification},
                "webhook_failures": self.webhook_failures + failures,
            }
        )

    def with_result(self, result: WindowResult, keep: int) -> "MonitorState":
        """Return the state with a result; an earlier one of the same window is replaced, and the oldest are dropped."""
        new = PastResult.of(result)
        others = (each for each in self.windows if each.name != new.name)
        windows = sorted((*others, new), key=lambda each: (each.end, each.name))
        return self.model_copy(update={"version": STATE_VERSION, "windows": tuple(windows[-keep:])})


def read_state(folder: Path) -> MonitorState:
    """Read the state in a folder; without a file it is empty.

    Raises
    ------
    SklineError
        If the file cannot be read, or is of a newer version.
    """
    path = folder / FILE_NAME
    try:
        return MonitorState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return MonitorState()
    except OSError as error:
        raise SklineError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise SklineError(
            f"{path} is damaged, or of a newer version of skline than this one, which reads version {STATE_VERSION}: "
            f"upgrade skline, or move the file away to start a new history ({error.error_count()} errors)"
        ) from None


def write_state(folder: Path, state: MonitorState) -> None:
    """Write the state atomically. Call it while holding `monitor_lock`."""
    write_text(folder / FILE_NAME, state.model_dump_json(indent=1) + "\n")


@contextmanager
def monitor_lock(folder: Path, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Let one monitor at a time work on a folder; the kernel frees the lock of a killed process.

    Raises
    ------
    SklineError
        If another monitor holds the lock for longer than `timeout` seconds.
    """
    with file_lock(folder / ".monitor.lock", f"another monitor works on {folder}; retry when it has finished", timeout):
        yield
