"""A canary is aborted when it is significantly worse than the limits allow, and hardly ever by chance."""

import numpy as np
import pytest

from skline.canary_limits import Guards
from skline.release.guards import Tally, dkw_band, find_breach, ks_distance, wilson_interval

GUARDS = Guards(min_rows=100)


def tally(rows: int, **faults: int) -> Tally:
    return Tally(rows, **faults, scores=[rows // 2, rows - rows // 2])  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["errors", "fallbacks", "slow"])
def test_a_challenger_with_many_faults_breaches_the_guard_at_the_first_check(fault: str) -> None:
    breach = find_breach(GUARDS, tally(900), tally(100, **{fault: 80}))
    assert breach is not None
    assert breach.startswith(f"{fault}: the challenger")
    assert "80 of 100 rows" in breach


def test_faults_that_the_champion_has_too_breach_no_guard() -> None:
    assert find_breach(GUARDS, tally(900, errors=720), tally(100, errors=80)) is None


def test_too_few_rows_breach_no_guard() -> None:
    assert find_breach(GUARDS, tally(900), tally(99, errors=99)) is None


def test_a_shift_of_the_scores_breaches_the_guard_and_empty_histograms_do_not() -> None:
    breach = find_breach(GUARDS, Tally(2000, scores=[1900, 100]), Tally(2000, scores=[500, 1500]))
    assert breach is not None
    assert "0.70 apart" in breach
    assert find_breach(GUARDS, Tally(2000, scores=[0, 0]), Tally(2000, scores=[5, 5])) is None


def test_an_equal_challenger_breaches_no_guard_in_a_thousand_checks() -> None:
    rng = np.random.default_rng(5)
    strict = Guards(min_rows=100, errors=0, fallbacks=0, slow=0, score_shift=0)
    alarms = 0
    for _ in range(20):  # 20 canaries of 50 checks, and limits that allow no difference at all
        champion, challenger = Tally(scores=[0] * 10), Tally(scores=[0] * 10)
        for _ in range(50):
            for arm, rows in ((champion, 900), (challenger, 100)):
                arm.rows += rows
                for fault in ("errors", "fallbacks", "slow"):
                    setattr(arm, fault, getattr(arm, fault) + int(rng.binomial(rows, 0.03)))
                arm.scores = (np.array(arm.scores) + rng.multinomial(rows, [0.1] * 10)).tolist()
            if find_breach(strict, champion, challenger):
                alarms += 1
                break
    assert alarms == 0


def test_bounds_have_their_known_values() -> None:
    assert wilson_interval(0, 100)[0] == 0
    assert wilson_interval(100, 100)[1] == pytest.approx(1)
    low, high = wilson_interval(50, 100)
    assert low < 0.5 < high
    assert ks_distance([1, 0], [0, 1]) == 1
    assert ks_distance([3, 3], [5, 5]) == 0
    assert dkw_band(10_000, 10_000) == pytest.approx(2 * dkw_band(40_000, 40_000))
