"""An experiment as it runs in this process: assign entities to arms, count what the arms do, abort a bad canary."""

import datetime as dt
import logging
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from skline.contract.spec import Row
from skline.release.experiment import Experiment, bucket
from skline.release.guards import Tally, find_breach
from skline.release.manifest import Arm
from skline.serving.experiments.aborted import AbortedCanaries
from skline.serving.experiments.shadow import ShadowScorer
from skline.serving.models.model import LoadedModel

log = logging.getLogger("skline.serving")

ArmName = Literal["champion", "challenger"]


class Assignment(NamedTuple):
    """The arm that a row is assigned to, and the bucket of its entity; None if the row has no entity."""

    arm: ArmName
    bucket: int | None


@dataclass(eq=False)
class RunningExperiment:
    """A challenger that runs with the champion.

    Attributes
    ----------
    columns : tuple of str or None
        The inputs that the challenger reads; None if it reads all of them.
    shadow : ShadowScorer or None
        Scores rows by the challenger without returning the result, in an experiment of that kind.
    score_bounds : list of float
        Upper bounds of the bins in which scores are counted.
    aborted_store : AbortedCanaries
    allowed : bool
        Whether the release's feature flags allow a challenger.
    weight : int
        The challenger's current share of the buckets; 0 if it may not get requests.
    aborted : str or None
        Why the canary was aborted: the guard that it broke, in this process or in another.
    """

    experiment: Experiment
    arm: Arm
    challenger: LoadedModel
    columns: tuple[str, ...] | None
    shadow: ShadowScorer | None
    score_bounds: list[float]
    aborted_store: AbortedCanaries
    allowed: bool = True
    weight: int = 0
    aborted: str | None = None
    champion_tally: Tally = field(default_factory=Tally)
    challenger_tally: Tally = field(default_factory=Tally)
    _next_check: int = 0  # in rows of the challenger

    def __post_init__(self) -> None:
        for tally in (self.champion_tally, self.challenger_tally):
            tally.scores = [0] * (len(self.score_bounds) + 1)
        self._next_check = self.experiment.guards.min_rows
        self.refresh()

    def is_same_as(self, experiment: Experiment, arm: Arm) -> bool:
        """Return whether a release's experiment is this one, possibly with another share or ramp."""
        own = self.experiment
        return (own.name, own.salt, own.kind, self.arm.sha256) == (
            experiment.name,
            experiment.salt,
            experiment.kind,
            arm.sha256,
        )

    def update(self, experiment: Experiment, arm: Arm, *, allowed: bool) -> None:
        """Apply a later release of this experiment; the tallies stay."""
        self.experiment, self.arm, self.allowed = experiment, arm, allowed
        self.refresh()

    def refresh(self) -> None:
        """Advance the ramp, unless the canary was aborted, here or in another process."""
        if self.aborted is None and self.experiment.kind == "canary":
            self.aborted = self.aborted_store.reason_for(self.experiment, self.arm)
            if self.aborted is not None:
                log.error("the canary %s was aborted before: %s", self.experiment.name, self.aborted)
        inactive = self.aborted is not None or not self.allowed or self.shadow is not None
        self.weight = 0 if inactive else self.experiment.weight_at(dt.datetime.now(dt.UTC), self.arm.weight)

    def assign(self, entity: object) -> Assignment:
        """Return the arm for an entity; rows without one go to the champion and are not part of the experiment."""
        if entity is None:
            return Assignment("champion", None)
        number = bucket(self.experiment.salt, self.experiment.name, entity)
        return Assignment("challenger" if number < self.weight else "champion", number)

    def select_inputs(self, row: Row) -> Row:
        """Return the inputs of a row that the challenger reads."""
        return row if self.columns is None else {name: row[name] for name in self.columns}

    def count(
        self,
        assignment: Assignment,
        seconds: float,
        score: float | None,
        *,
        failed: bool = False,
        replaced: bool = False,
    ) -> None:
        """Count a row in the tally of its arm, and abort a canary that breaks a guard.

        Parameters
        ----------
        assignment : Assignment
            A row without an entity is not counted.
        seconds : float
            Scoring time of the row.
        score : float or None
            Score of the row; None if its own arm did not produce it.
        failed : bool
            Whether the arm raised, or its result was not finite.
        replaced : bool
            Whether the champion or a fallback predicted instead of the arm.
        """
        if assignment.bucket is None:
            return
        tally = self.challenger_tally if assignment.arm == "challenger" else self.champion_tally
        tally.rows += 1
        tally.errors += failed
        tally.fallbacks += replaced
        if seconds * 1000 > self.experiment.guards.slow_ms:
            tally.slow += 1
        if score is not None:
            tally.scores[bisect_left(self.score_bounds, score)] += 1
        if self.challenger_tally.rows >= self._next_check and self.experiment.kind == "canary" and self.weight:
            self._check_guards()

    def _check_guards(self) -> None:
        guards = self.experiment.guards
        reason = find_breach(guards, self.champion_tally, self.challenger_tally)
        self._next_check = self.challenger_tally.rows + guards.min_rows
        if reason is not None:
            self.aborted = reason
            self.weight = 0
            log.error("the canary %s is aborted, the champion gets all requests: %s", self.experiment.name, reason)
            self.aborted_store.add(self.experiment, self.arm, reason)
