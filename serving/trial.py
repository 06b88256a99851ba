"""An experiment as it runs in this process: who is assigned to whom, what the arms do, and when it ends itself."""

import datetime as dt
import logging
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skline.contract.spec import Value
from skline.release.experiment import Experiment, bucket
from skline.release.guards import Tally, breach
from skline.release.manifest import Arm

if TYPE_CHECKING:
    from serving.aborted import Aborted
    from serving.model import Model
    from serving.shadow import Shadow

log = logging.getLogger("skline.serving")

Row = dict[str, Value]


@dataclass(frozen=True)
class Place:
    """Where a row belongs in an experiment: the arm that it was assigned to, and its entity's bucket, if it has one."""

    arm: str
    bucket: int | None


@dataclass(eq=False)
class Trial:
    """A challenger beside the champion.

    Attributes
    ----------
    columns : tuple of str or None
        The inputs that the challenger reads, if those are not all.
    shadow : Shadow or None
        Where rows go that the challenger scores unseen.
    bounds : list of float
        Upper bounds of the bins in which scores are counted.
    memory : Aborted
        What is remembered of canaries beyond this process.
    weight : int
        The challenger's share of the buckets now; 0 as long as the release forbids challengers.
    aborted : str or None
        Why the challenger is asked no longer: it broke a guard in this process, or in one before or beside it.
    """

    experiment: Experiment
    arm: Arm
    challenger: "Model"
    columns: tuple[str, ...] | None
    shadow: "Shadow | None"
    bounds: list[float]
    memory: "Aborted"
    allowed: bool = True
    weight: int = 0
    aborted: str | None = None
    champion_did: Tally = field(default_factory=Tally)
    challenger_did: Tally = field(default_factory=Tally)
    _next_look: int = 0

    def __post_init__(self) -> None:
        for tally in (self.champion_did, self.challenger_did):
            tally.scores = [0] * (len(self.bounds) + 1)
        self._next_look = self.experiment.guards.min_rows
        self.tick()

    def continues(self, experiment: Experiment, arm: Arm) -> bool:
        """Whether a release's experiment is this one."""
        mine = self.experiment
        return (mine.name, mine.salt, mine.kind, self.arm.sha256) == (
            experiment.name,
            experiment.salt,
            experiment.kind,
            arm.sha256,
        )

    def go_on(self, experiment: Experiment, arm: Arm, *, allowed: bool) -> None:
        """Take over what a later release says of this experiment; what was counted stays."""
        self.experiment, self.arm, self.allowed = experiment, arm, allowed
        self.tick()

    def tick(self) -> None:
        """Let the ramp go on, unless the canary was taken back."""
        if self.aborted is None and self.experiment.kind == "canary":
            self.aborted = self.memory.reason(self.experiment, self.arm)
            if self.aborted is not None:
                log.error("the canary %s was taken back before: %s", self.experiment.name, self.aborted)
        off = self.aborted is not None or not self.allowed or self.shadow is not None
        self.weight = 0 if off else self.experiment.weight_at(dt.datetime.now(dt.UTC), self.arm.weight)

    def assign(self, entity: object) -> Place:
        """Say who answers about an entity; whoever has no name is the champion's, and not in the experiment."""
        if entity is None:
            return Place("champion", None)
        number = bucket(self.experiment.salt, self.experiment.name, entity)
        return Place("challenger" if number < self.weight else "champion", number)

    def reads(self, row: Row) -> Row:
        """What the challenger is shown of a row."""
        return row if self.columns is None else {name: row[name] for name in self.columns}

    def count(
        self,
        place: Place,
        rows: int,
        seconds: float,
        scores: list[float],
        *,
        failed: bool = False,
        replaced: bool = False,
    ) -> None:
        """Count rows of entities, and end the challenger's part if it breaks a guard.

        Parameters
        ----------
        seconds : float
            That a row took.
        scores : list of float
            What was answered; nothing if the arm itself did not answer.
        failed : bool
            Whether the arm raised, or answered with no number.
        replaced : bool
            Whether another answered in its place.
        """
        if place.bucket is None:
            return
        tally = self.challenger_did if place.arm == "challenger" else self.champion_did
        tally.rows += rows
        tally.errors += rows * failed
        tally.fallbacks += rows * replaced
        if seconds * 1000 > self.experiment.guards.slow_ms:
            tally.slow += rows
        for score in scores:
            tally.scores[bisect_left(self.bounds, score)] += 1
        if self.challenger_did.rows >= self._next_look and self.experiment.kind == "canary" and self.weight:
            self._look()

    def _look(self) -> None:
        guards = self.experiment.guards
        reason = breach(guards, self.champion_did, self.challenger_did)
        self._next_look = self.challenger_did.rows + guards.min_rows
        if reason is not None:
            self.aborted = reason
            self.weight = 0
            log.error("the canary %s is taken back, the champion answers: %s", self.experiment.name, reason)
            self.memory.note(self.experiment, self.arm, reason)
