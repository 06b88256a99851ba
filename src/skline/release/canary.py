"""The observations of a canary, and when its guards are checked: the service and the report do it alike."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from skline.canary_limits import Guards
from skline.release.experiment import BUCKETS
from skline.release.guards import Tally, find_breach

#: Entities that are counted at a time, both arms together, unless `min_rows` needs more; about 200 bytes each.
MAX_ENTITIES = 20_000
#: Observations of the challenger, unless `min_rows` is larger, after which counting starts again: old ones would hide a
#: new fault.
MAX_OBSERVATIONS = 50_000
#: The larger arm is counted on entities of this many times the smaller arm's share: more would cost memory, and the
#: comparison is as exact as the smaller sample.
MAX_RATIO = 4


@dataclass
class CanaryMonitor:
    """Counts the requests of both arms and checks the guards, each time the challenger's have grown by a tenth.

    Counting starts again when the challenger's share changes, because entities that move bring no history with them,
    and when MAX_ENTITIES or MAX_OBSERVATIONS is reached. The number of checks goes on: it bounds the error rate of all.

    Attributes
    ----------
    score_bounds : sequence of float
        Upper bounds of the bins in which scores are counted.
    checks : int
        Checks so far.
    """

    guards: Guards
    score_bounds: Sequence[float]
    champion: Tally = field(init=False)
    challenger: Tally = field(init=False)
    checks: int = 0
    _next_check: int = 0  # in the challenger's requests

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start counting again."""
        bins = len(self.score_bounds) + 1
        self.champion, self.challenger = Tally([0] * bins), Tally([0] * bins)
        self._next_check = self.guards.min_rows

    def observe(
        self,
        entities: Sequence[int],
        *,
        is_challenger: bool,
        observed: int | None,
        failed: bool = False,
        slow: bool | None = None,
        scores: Sequence[float] | None = None,
    ) -> str | None:
        """Count a request, or the rows of one arm in it; return the guard that the challenger breaches, if any.

        Parameters
        ----------
        entities : sequence of int
            Without repetitions.
        is_challenger : bool
            The arm of all of them.
        observed : int or None
            The entity whose observation the request is; None if it is one of the other arm's entities in the batch.
        failed, slow
            See `Tally.observe`.
        scores : sequence of float, or None
            Of each entity by the arm's model; None if that did not predict.
        """
        tally = self.challenger if is_challenger else self.champion
        tally.total += len(entities)
        if observed is not None:
            tally.observe(observed, failed=failed, replaced=scores is None, slow=slow)
        for entity, score in zip(entities, scores or (), strict=scores is not None):
            tally.add_score(entity, bisect_left(self.score_bounds, score))
        counted = self.champion.entities + self.challenger.entities
        is_full = counted >= max(MAX_ENTITIES, 10 * self.guards.min_rows) or self.challenger.observed >= max(
            MAX_OBSERVATIONS, self.guards.min_rows
        )
        breach = self._check() if is_full or self.challenger.total >= self._next_check else None
        if is_full and breach is None:
            self.restart()
        return breach

    def _check(self) -> str | None:
        """Check the guards if both arms have enough observations."""
        self._next_check = max(self.challenger.total + 1, self.challenger.total * 11 // 10)
        if min(self.champion.total, self.challenger.total) < self.guards.min_rows:
            return None
        self.checks += 1
        return find_breach(self.guards, self.champion, self.challenger, self.checks)


def is_counted(bucket: int, weight: int) -> bool:
    """Return whether a canary counts an entity, by its bucket and the challenger's share, both of 10,000.

    The challenger has the buckets below `weight`; those that are counted lie on both sides of it.
    """
    return weight - MAX_RATIO * (BUCKETS - weight) <= bucket < weight + MAX_RATIO * weight
