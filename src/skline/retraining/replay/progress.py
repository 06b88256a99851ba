"""What a replay has done: a journal that is only appended to, by which an interrupted replay goes on.

What happens twice has no effect the second time. Rows that a step had sent before it was interrupted are found in the
prediction log by their request ids, the service stores a label once, and decisions are in the journal of retraining.
"""

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from skline.files import append_line, read_json_lines

Kind = Literal["started", "step", "monitored", "decided", "restarted", "finished"]


class Event(BaseModel):
    """One line of the journal.

    Attributes
    ----------
    kind : Kind
        started: the first model serves; step: rows and labels of a step are delivered; monitored, decided: monitoring
        or the decision at the end of a step is done; restarted: the service had ended, or a connection was lost;
        finished: the last label is delivered.
    time : datetime
        What the simulated clock showed.
    number : int
        Of the step or the decision, from 0 on.
    requests, failed : int
        Requests that were sent in the step, and those that were not answered with status 200.
    processor_seconds : float
        Of the command that ran.
    seconds : float
        Wall time since the replay was started or resumed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    time: AwareDatetime
    number: int = 0
    requests: int = 0
    failed: int = 0
    processor_seconds: float = 0.0
    seconds: float = 0.0


class Progress:
    """The journal of a replay in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = list(read_json_lines(path, Event).values)

    def add(self, event: Event) -> None:
        """Append an event durably."""
        append_line(self.path, event.model_dump_json(exclude_defaults=True).encode())
        self.events.append(event)

    def count(self, kind: Kind) -> int:
        """Return how many events of a kind there are; of steps, monitorings and decisions it is the next number."""
        return sum(each.kind == kind for each in self.events)

    @property
    def requests(self) -> int:
        """Requests of all steps."""
        return sum(each.requests for each in self.events)

    @property
    def failed(self) -> int:
        """Requests that were not answered with status 200."""
        return sum(each.failed for each in self.events)

    @property
    def training_seconds(self) -> float:
        """Processor time of all decisions with their trainings."""
        return sum(each.processor_seconds for each in self.events if each.kind == "decided")
