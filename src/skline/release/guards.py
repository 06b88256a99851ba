"""The guards that abort a canary: both arms are compared by entity, with bounds for any traffic.

The entity is what is assigned to an arm at random, so it is the unit: one that sends half of the traffic counts once,
with the share of its observations that have a fault. If both arms are alike, each arm's entities are a random sample of
all entities that were seen, whatever they send and whenever it fails. The mean of n shares between 0 and 1 of such a
sample is above (below) a bound p with a probability of at most exp(-n KL(mean, p)), KL being the Kullback-Leibler
divergence of two Bernoulli distributions (Hoeffding 1963, theorem 1, and theorem 4 for samples of a finite population).
A batch that fails is one event, however many entities it has: it is an observation of one of them, drawn at random.
Distributions of scores are compared by the band of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990), for
one score of each entity; it assumes that entities are independent.

Check number j may err with probability FALSE_ABORT_RATE / (j (j + 1)), which sums to FALSE_ABORT_RATE over all checks
(union bound); the guards share it equally.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

from skline.canary_limits import Guards

#: Probability that a canary which equals the champion is ever aborted, in one process.
FALSE_ABORT_RATE = 0.001
#: Guards that share the error probability of a check.
GUARDS = 4
#: Entities whose scores are counted: with that many, the band is narrower than any limit that makes sense.
MAX_SCORED = 20_000


@dataclass(frozen=True)
class Share:
    """Mean over entities of the share of their observations with a fault."""

    mean: float = 0.0
    entities: int = 0


@dataclass
class Tally:
    """Observations of one arm, counted by entity.

    Attributes
    ----------
    scores : list of int
        Entities by the bin of their first score.
    observations, timed : Counter
        Observations of each entity, and those whose latency is known.
    errors, fallbacks, slow : Counter
        Observations of each entity with that fault.
    observed : int
        All observations.
    total : int
        Requests of all entities; a batch is one request of each of its entities, and one observation.
    """

    scores: list[int]
    observations: Counter[int] = field(default_factory=Counter)
    timed: Counter[int] = field(default_factory=Counter)
    errors: Counter[int] = field(default_factory=Counter)
    fallbacks: Counter[int] = field(default_factory=Counter)
    slow: Counter[int] = field(default_factory=Counter)
    observed: int = 0
    total: int = 0
    _scored: set[int] = field(default_factory=set)

    def observe(self, entity: int, *, failed: bool, replaced: bool, slow: bool | None = None) -> None:
        """Count one observation.

        Parameters
        ----------
        entity : int
        failed : bool
            Whether the arm's model raised, or predicted no finite number.
        replaced : bool
            Whether anything but the arm's model predicted.
        slow : bool or None
            None if the latency is unknown.
        """
        self.observed += 1
        self.observations[entity] += 1
        if failed:
            self.errors[entity] += 1
        if replaced:
            self.fallbacks[entity] += 1
        if slow is not None:
            self.timed[entity] += 1
            if slow:
                self.slow[entity] += 1

    def add_score(self, entity: int, score_bin: int) -> None:
        """Count the bin of an entity's score, if it is the first one of the entity, up to MAX_SCORED entities."""
        if entity not in self._scored and len(self._scored) < MAX_SCORED:
            self._scored.add(entity)
            self.scores[score_bin] += 1

    @property
    def entities(self) -> int:
        """Entities with an observation."""
        return len(self.observations)

    def share_of(self, fault: str) -> Share:
        """Return the mean share of errors, fallbacks, or slow observations."""
        faults: Counter[int] = getattr(self, fault)
        trials = self.timed if fault == "slow" else self.observations
        if not trials:
            return Share()
        return Share(sum(hits / trials[entity] for entity, hits in faults.items()) / len(trials), len(trials))


def find_breach(guards: Guards, champion: Tally, challenger: Tally, check: int) -> str | None:
    """Describe the first guard that the challenger breaches; None if there is none.

    Parameters
    ----------
    guards : Guards
    champion, challenger : Tally
    check : int
        Number of the check, from 1 on; each number may be used once.
    """
    alpha = check_alpha(check)
    for name, fault in (("errors", "failed on"), ("fallbacks", "was replaced on"), ("slow", "was slow on")):
        limit, worse, base = getattr(guards, name), challenger.share_of(name), champion.share_of(name)
        if lower_bound(worse, alpha / 2) - upper_bound(base, alpha / 2) > limit:
            return (
                f"{name}: the challenger {fault} {worse.mean:.1%} of the requests of an entity on average "
                f"({worse.entities:,} entities), the champion on {base.mean:.1%} ({base.entities:,} entities); "
                f"the limit is {limit:.1%} more"
            )
    distance = ks_distance(champion.scores, challenger.scores)
    if distance - dkw_band(sum(champion.scores), sum(challenger.scores), alpha) > guards.score_shift:
        return f"score_shift: the scores' distributions are {distance:.2f} apart; the limit is {guards.score_shift:.2f}"
    return None


def check_alpha(check: int) -> float:
    """Return the error probability of one guard at a check, from 1 on."""
    return FALSE_ABORT_RATE / (check * (check + 1)) / GUARDS


def lower_bound(share: Share, alpha: float) -> float:
    """Return the lower confidence bound of a mean of shares, one-sided at `alpha`; 0 without entities."""
    if not share.entities or share.mean <= 0:
        return 0.0
    return _bound(share, alpha, 0.0)


def upper_bound(share: Share, alpha: float) -> float:
    """Return the upper confidence bound of a mean of shares, one-sided at `alpha`; 1 without entities."""
    if not share.entities or share.mean >= 1:
        return 1.0
    return _bound(share, alpha, 1.0)


def _bound(share: Share, alpha: float, end: float) -> float:
    """Find by bisection, between the mean and an end of the scale, where the divergence reaches ln(1/alpha)/n."""
    limit = math.log(1 / alpha) / share.entities
    inside, outside = share.mean, end
    for _ in range(50):
        middle = (inside + outside) / 2
        if divergence(share.mean, middle) <= limit:
            inside = middle
        else:
            outside = middle
    return outside


def divergence(mean: float, p: float) -> float:
    """Return the Kullback-Leibler divergence of Bernoulli(mean) from Bernoulli(p), in nats."""
    result = 0.0
    for observed, expected in ((mean, p), (1 - mean, 1 - p)):
        if observed > 0:
            if expected <= 0:
                return math.inf
            result += observed * math.log(observed / expected)
    return result


def ks_distance(counts: list[int], other_counts: list[int]) -> float:
    """Return the Kolmogorov-Smirnov distance of two histograms with the same bins; 0 if one is empty."""
    rows, other_rows = sum(counts), sum(other_counts)
    if not rows or not other_rows:
        return 0.0
    difference, largest = 0.0, 0.0
    for count, other_count in zip(counts, other_counts, strict=True):
        difference += count / rows - other_count / other_rows
        largest = max(largest, abs(difference))
    return largest


def dkw_band(entities: int, other_entities: int, alpha: float) -> float:
    """Return how far two samples of one distribution may be apart at `alpha`, each using half of it."""
    if not entities or not other_entities:
        return 1.0
    width = math.sqrt(math.log(4 / alpha) / 2)
    return width / math.sqrt(entities) + width / math.sqrt(other_entities)
