"""An experiment as it runs in this process: assign entities to arms, count what the arms do, abort a bad canary."""

import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from skline import clock
from skline.contract.spec import Row
from skline.release.aborted import AbortedCanaries
from skline.release.canary import CanaryMonitor, is_counted
from skline.release.experiment import BUCKETS, Experiment, entity_key
from skline.release.manifest import Arm
from skline.serving.experiments.shadow import ShadowScorer
from skline.serving.models.model import LoadedModel

log = logging.getLogger("skline.serving")

ArmName = Literal["champion", "challenger"]


class Assignment(NamedTuple):
    """The arm that a row is assigned to, and the hash of its entity; None if the row has no entity."""

    arm: ArmName
    entity: int | None

    @property
    def bucket(self) -> int | None:
        """The bucket of the entity."""
        return None if self.entity is None else self.entity % BUCKETS


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
        Upper bounds of the bins in which a canary's scores are counted.
    aborted_store : AbortedCanaries
    allowed : bool
        Whether the release's feature flags allow a challenger.
    weight : int
        The challenger's current share of the buckets; 0 if it may not get requests.
    aborted : str or None
        Why the canary was aborted: the guard that it broke, in this process or in another.
    rows : Counter
        Rows by assigned arm.
    challenger_failures : Counter
        Rows of the challenger: error, fallback, slow, busy.
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
    rows: Counter[str] = field(default_factory=lambda: Counter(champion=0, challenger=0))
    challenger_failures: Counter[str] = field(default_factory=lambda: Counter(error=0, fallback=0, slow=0, busy=0))
    monitor: CanaryMonitor = field(init=False)

    def __post_init__(self) -> None:
        self.monitor = CanaryMonitor(self.experiment.guards, self.score_bounds)
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
        """Apply a later release of this experiment; counts stay unless the challenger's share changes."""
        self.experiment, self.arm, self.allowed = experiment, arm, allowed
        self.monitor.guards = experiment.guards
        self.refresh()

    def refresh(self) -> None:
        """Advance the ramp, unless the canary was aborted, here or in another process."""
        if self.aborted is None and self.experiment.kind == "canary":
            self.aborted = self.aborted_store.reason_for(self.experiment, self.arm)
            if self.aborted is not None:
                log.error("the canary %s was aborted before: %s", self.experiment.name, self.aborted)
        inactive = self.aborted is not None or not self.allowed or self.shadow is not None
        weight = 0 if inactive else self.experiment.weight_at(clock.now(), self.arm.weight)
        if weight != self.weight:
            self.weight = weight
            self.monitor.restart()

    def assign(self, entity: object) -> Assignment:
        """Return the arm for an entity; rows without one go to the champion and are not part of the experiment."""
        if entity is None:
            return Assignment("champion", None)
        key = entity_key(self.experiment.salt, self.experiment.name, entity)
        return Assignment("challenger" if key % BUCKETS < self.weight else "champion", key)

    def draw_entity(self, assignments: Sequence[Assignment]) -> int | None:
        """Draw the entity whose observation a batch is, of all entities in it; None if no row has one.

        A failed batch is one event, so it must not count for each of its entities. The draw is the same for both arms.
        """
        entities = list({assignment.entity for assignment in assignments} - {None})
        return secrets.choice(entities) if entities else None

    def select_inputs(self, row: Row) -> Row:
        """Return the inputs of a row that the challenger reads."""
        return row if self.columns is None else {name: row[name] for name in self.columns}

    def count(
        self,
        assignments: Sequence[Assignment],
        scores: Sequence[float] | None,
        *,
        observed: int | None,
        seconds: float | None = None,
        failed: bool = False,
    ) -> None:
        """Count a request, or the rows of one arm in it, and abort a canary that breaks a guard.

        Parameters
        ----------
        assignments : sequence of Assignment
            All of the same arm; rows without an entity are not counted.
        scores : sequence of float, or None
            Of each row by its arm's model; None if that did not predict.
        observed : int or None
            The entity whose observation the request is, see `draw_entity`; None if it is not in this arm.
        seconds : float or None
            Time to score a row that was requested alone. None for a batch: its time grows with its rows, and an arm
            with a larger share has more of them.
        failed : bool
            Whether the arm's model raised, or a result was not finite.
        """
        arm = assignments[0].arm
        slow = None if seconds is None else seconds * 1000 > self.experiment.guards.slow_ms
        rows = sum(assignment.entity is not None for assignment in assignments)
        self.rows[arm] += rows
        if arm == "challenger":
            for kind, occurred in (("error", failed), ("fallback", scores is None), ("slow", bool(slow))):
                self.challenger_failures[kind] += rows * occurred
        if self.experiment.kind == "canary" and self.weight:
            self._check_guards(assignments, scores, observed, failed=failed, slow=slow)

    def count_busy(self, assignments: Sequence[Assignment]) -> None:
        """Count rows that found their arm's queue full: busy is no fault of a model, so no guard counts them."""
        rows = sum(assignment.entity is not None for assignment in assignments)
        self.rows[assignments[0].arm] += rows
        if assignments[0].arm == "challenger":
            self.challenger_failures["busy"] += rows

    def _check_guards(
        self,
        assignments: Sequence[Assignment],
        scores: Sequence[float] | None,
        observed: int | None,
        *,
        failed: bool,
        slow: bool | None,
    ) -> None:
        """Count a request for the guards, and abort the canary if one is broken."""
        indices: dict[int, int] = {}  # of each entity's first row
        for index, (_, entity) in enumerate(assignments):
            if entity is not None and is_counted(entity % BUCKETS, self.weight):
                indices.setdefault(entity, index)
        if not indices:
            return
        reason = self.monitor.observe(
            list(indices),
            is_challenger=assignments[0].arm == "challenger",
            observed=observed if observed in indices else None,
            failed=failed,
            slow=slow,
            scores=None if scores is None else [scores[index] for index in indices.values()],
        )
        if reason is not None:
            self.aborted = reason
            self.weight = 0
            log.error("the canary %s is aborted, the champion gets all requests: %s", self.experiment.name, reason)
            self.aborted_store.add(self.experiment, self.arm, reason)
