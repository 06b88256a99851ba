"""The gate of the champion: pass a model that is not worse, reject one that is, else be undecided.

Let the gain be the metric's difference on the same rows, with its 95 % interval. For `require: not_worse` the model

- passes if the interval is above -margin: it is not worse by as much as the margin (non-inferiority);
- fails if it does not pass, and the interval is below zero (it is worse beyond chance) or the rows suffice to decide;
- else cannot be decided, which does not stop it.

The rows suffice if a model that is exactly as good passes in 95 % of comparisons, which is where the margin is 1.84
half-widths of the interval (1.96 + 1.645 standard errors). An equal model therefore fails in at most 5 % of
comparisons, however many rows there are and whatever the margin is: 2.5 % where they are too few, 5 % where they just
suffice. A model that is worse by the margin passes in at most 2.5 %. This assumes independent rows, and enough of them
for the interval's ends to be normally distributed.

`require: better`, or a margin of 0, wants the interval above zero: what cannot be decided then fails.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist

from skline.errors import SklineError
from skline.evaluation.bootstrap import CONFIDENCE, Difference
from skline.evaluation.champion import Comparison
from skline.evaluation.segments import NO_SEGMENTS
from skline.release.verdict import GateResult
from skline.reporting.format import format_interval, format_number, format_setting
from skline.settings.evaluation import ChampionGate, Gates

#: Share of comparisons that a model as good as the champion passes if the rows suffice to decide.
POWER = 0.95
#: Half-widths of the interval that the margin must have for this.
HALF_WIDTHS = 1 + NormalDist().inv_cdf(POWER) / NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def check_champion(
    gates: Gates, comparison: Comparison | SklineError | None, artifact_sha256: str, *, has_segments: bool
) -> Iterator[GateResult]:
    """Require the model to be no worse than the champion, on all rows and in every segment.

    `has_segments` tells whether the test part has segments, of any size.
    """
    if comparison is None:
        reason = "nothing is released, so there is no model to compare with"
        yield GateResult(gate="champion", passed=None, applies=False, reason=reason)
    elif isinstance(comparison, SklineError):
        yield GateResult(gate="champion", passed=False, reason=str(comparison))
    elif comparison.sha256 == artifact_sha256:
        yield GateResult(gate="champion", passed=True, reason=f"this artifact is the champion {comparison.version}")
    elif comparison.obstacle is not None:
        yield _not_compared(gates.champion, comparison)
    else:
        yield _check_all_rows(gates.champion, comparison)
        if comparison.difference is not None:
            yield _check_segments(gates, comparison, has_segments=has_segments)


def decide(difference: Difference, rules: ChampionGate) -> bool | None:
    """Return whether a model passes; None where it is undecided. See the module."""
    limit = smallest_gain(rules)
    if difference.low > limit:
        return True
    if limit == 0 or difference.high < 0 or difference.rows >= rows_to_decide(difference, rules):
        return False
    return None


def rows_to_decide(difference: Difference, rules: ChampionGate) -> float:
    """Return how many rows would decide about models that differ as these do; infinite if no number does."""
    margin = -smallest_gain(rules)
    if margin == 0:
        return math.inf
    half_width = (difference.high - difference.low) / 2
    return difference.rows * (HALF_WIDTHS * half_width / margin) ** 2


def smallest_gain(rules: ChampionGate) -> float:
    """Return what the low end of the interval must be above."""
    return 0.0 if rules.require == "better" else 0.0 - rules.margin  # 0 - 0 is 0, and -0.0 would be shown as "-0"


def _not_compared(rules: ChampionGate, comparison: Comparison) -> GateResult:
    """Report that the models could not be compared: this stops the model only if it must be better."""
    must_be_better = smallest_gain(rules) == 0
    follows = (
        "the model must be better (gates.champion), which cannot be shown"
        if must_be_better
        else "whether the model is worse is undecided; look at its metrics before you promote it"
    )
    return GateResult(
        gate="champion",
        passed=False if must_be_better else None,
        reason=f"not compared with {comparison.version}: {comparison.obstacle}; {follows}",
    )


def _check_all_rows(rules: ChampionGate, comparison: Comparison) -> GateResult:
    """Check the difference on all rows."""
    difference, limit = comparison.difference, smallest_gain(rules)
    if difference is None or not all(map(math.isfinite, (difference.value, difference.low, difference.high))):
        reason = f"the difference from {comparison.version} is not a finite number"
        return GateResult(gate="champion", passed=False, limit=limit, reason=reason)
    conclusion = "no difference"
    if difference.low > 0:
        conclusion = "better beyond chance"
    elif difference.high < 0:
        conclusion = "worse beyond chance"
    passed, needed = decide(difference, rules), rows_to_decide(difference, rules)
    reason = (
        f"{difference.metric} gains {format_number(difference.value, signed=True)} "
        f"({format_interval(difference.low, difference.high, signed=True)}) over {comparison.version} "
        f"on the same {difference.rows:,} rows: {conclusion}; the low end must be above {format_setting(limit)}"
    )
    if comparison.rows:
        reason += f"; compared on {comparison.rows}"
    if passed is None:
        reason += "; undecided on these rows"
    if math.isfinite(needed) and needed > difference.rows:
        reason += f"; about {math.ceil(needed):,} rows decide for this margin"
    return GateResult(gate="champion", passed=passed, value=difference.low, limit=limit, reason=reason)


def _check_segments(gates: Gates, comparison: Comparison, *, has_segments: bool) -> GateResult:
    """Check that no segment is much worse."""
    rules, margin = gates.champion, format_setting(gates.champion.segment_margin)
    if not has_segments:
        return GateResult(gate="champion by segment", passed=None, applies=False, reason=NO_SEGMENTS)
    if not comparison.compared_segments:
        few = f"undecided: no segment has {gates.segment_rows} rows (gates.segment_rows)"
        return GateResult(gate="champion by segment", passed=None, reason=few)
    worse = [each for each in comparison.worse_segments if each.significant]
    named = ", ".join(
        f"{each.column} {each.value} {format_number(each.difference.value, signed=True)}" for each in worse
    )
    return GateResult(
        gate="champion by segment",
        passed=not worse,
        value=worse[0].difference.value if worse else None,
        limit=-rules.segment_margin,
        reason=f"much worse than {comparison.version} in {named}; must be at most {margin} worse, "
        "or not so beyond chance"
        if worse
        else f"none of {comparison.compared_segments} segments is worse by more than {margin} beyond chance",
    )
