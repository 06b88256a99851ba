"""The guards that abort a canary: counts of both arms, compared by bounds that chance alone hardly crosses.

Rates are compared by Wilson's score interval (Wilson 1927): the lower end of the challenger's with the upper end of
the champion's. Distributions of scores are compared by the band of Dvoretzky, Kiefer and Wolfowitz with Massart's
constant (1990). Both are taken at Z, so that a thousand checks of two equal models raise a false alarm at most once in
about thirty canaries.
"""

import math
from dataclasses import dataclass, field

from skline.canary_limits import Guards

Z = 4.0
#: Two-sided error probability of one check: 2 (1 - Φ(Z)).
CHECK_ALPHA = math.erfc(Z / math.sqrt(2))


@dataclass
class Tally:
    """Counts of one arm: rows, rows with each fault, and rows by bin of their score."""

    rows: int = 0
    errors: int = 0
    fallbacks: int = 0
    slow: int = 0
    scores: list[int] = field(default_factory=list)


def find_breach(guards: Guards, champion: Tally, challenger: Tally) -> str | None:
    """Describe the first guard that the challenger breaches; None if there is none, or an arm has too few rows."""
    if min(champion.rows, challenger.rows) < guards.min_rows:
        return None
    for name, fault in (("errors", "failed on"), ("fallbacks", "was replaced on"), ("slow", "was slow on")):
        limit, challenger_count, champion_count = (getattr(each, name) for each in (guards, challenger, champion))
        lower_bound = wilson_interval(challenger_count, challenger.rows)[0]
        if lower_bound - wilson_interval(champion_count, champion.rows)[1] > limit:
            return (
                f"{name}: the challenger {fault} {challenger_count:,} of {challenger.rows:,} rows, the champion on "
                f"{champion_count:,} of {champion.rows:,}; the limit is {limit:.1%} more"
            )
    distance = ks_distance(champion.scores, challenger.scores)
    if distance - dkw_band(sum(champion.scores), sum(challenger.scores)) > guards.score_shift:
        return f"score_shift: the scores' distributions are {distance:.2f} apart; the limit is {guards.score_shift:.2f}"
    return None


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Return the score interval of a share, at Z."""
    share, spread = hits / rows, Z * Z / rows
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


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


def dkw_band(rows: int, other_rows: int) -> float:
    """Return how far two samples of one distribution may be apart at CHECK_ALPHA, each using half of it."""
    if not rows or not other_rows:
        return 1.0
    width = math.sqrt(math.log(4 / CHECK_ALPHA) / 2)
    return width / math.sqrt(rows) + width / math.sqrt(other_rows)
