"""When a canary is taken back by itself: counted rows of both arms, and bounds that chance alone hardly crosses.

Shares are compared by Wilson's score interval (Wilson 1927), the lower end of the challenger's with the upper end of
the champion's; distributions of scores by the band of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990).
Both are taken at Z, so that a thousand looks at two equal models raise a false alarm at most once in about thirty.
"""

import math
from dataclasses import dataclass, field

from skline.settings import Guards

Z = 4.0
#: Two-sided error of one look: 2 (1 - Φ(Z)).
ALPHA = math.erfc(Z / math.sqrt(2))


@dataclass
class Tally:
    """What one arm has done: rows that were its own, and of those the ones with a fault; scores counted in bins."""

    rows: int = 0
    errors: int = 0
    fallbacks: int = 0
    slow: int = 0
    scores: list[int] = field(default_factory=list)


def breach(guards: Guards, champion: Tally, challenger: Tally) -> str | None:
    """Say which guard the challenger breaks; None if it breaks none, or too few rows were seen."""
    if min(champion.rows, challenger.rows) < guards.min_rows:
        return None
    for name, words in (("errors", "failed on"), ("fallbacks", "was answered for on"), ("slow", "was slow on")):
        limit, bad, good = getattr(guards, name), getattr(challenger, name), getattr(champion, name)
        if wilson(bad, challenger.rows)[0] - wilson(good, champion.rows)[1] > limit:
            return (
                f"{name}: the challenger {words} {bad:,} of {challenger.rows:,} rows, the champion on {good:,} of "
                f"{champion.rows:,}; allowed is {limit:.1%} more"
            )
    distance = shift(champion.scores, challenger.scores)
    if distance - band(sum(champion.scores), sum(challenger.scores)) > guards.score_shift:
        return f"score_shift: the scores' distributions are {distance:.2f} apart, allowed is {guards.score_shift:.2f}"
    return None


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """Interval of a share, at Z."""
    share, spread = hits / rows, Z * Z / rows
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / rows + spread / (4 * rows)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def shift(one: list[int], other: list[int]) -> float:
    """Kolmogorov-Smirnov distance of two histograms with the same bins; 0 if one is empty."""
    rows, others = sum(one), sum(other)
    if not rows or not others:
        return 0.0
    below, found = 0.0, 0.0
    for a, b in zip(one, other, strict=True):
        below += a / rows - b / others
        found = max(found, abs(below))
    return found


def band(rows: int, others: int) -> float:
    """How far two samples of one distribution may be apart, at ALPHA: each within its band of half of it."""
    if not rows or not others:
        return 1.0
    width = math.sqrt(math.log(4 / ALPHA) / 2)
    return width / math.sqrt(rows) + width / math.sqrt(others)
