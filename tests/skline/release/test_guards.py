"""The bounds of the guards hold for every distribution, and rates count entities and requests instead of rows."""

import math

import numpy as np
import pytest

from skline.canary_limits import Guards
from skline.release.guards import (
    FALSE_ABORT_RATE,
    GUARDS,
    Share,
    Tally,
    check_alpha,
    divergence,
    dkw_band,
    find_breach,
    ks_distance,
    lower_bound,
    upper_bound,
)

LIMITS = Guards(min_rows=100)


def tally(entities: int, fault: str = "errors", share: float = 0.0) -> Tally:
    """Return entities with one request each, of which a share has a fault."""
    result = Tally([0, 0])
    for entity in range(entities):
        hit = entity < share * entities
        result.observe(
            entity,
            failed=hit and fault == "errors",
            replaced=hit and fault == "fallbacks",
            slow=hit and fault == "slow",
        )
        result.add_score(entity, entity % 2)
    return result


@pytest.mark.parametrize("fault", ["errors", "fallbacks", "slow"])
def test_a_challenger_with_many_faults_breaches_the_guard_at_the_first_check(fault: str) -> None:
    breach = find_breach(LIMITS, tally(900), tally(100, fault, 0.8), 1)
    assert breach is not None
    assert breach.startswith(f"{fault}: the challenger")
    assert "80.0% of the requests of an entity on average (100 entities)" in breach


def test_faults_that_the_champion_has_too_breach_no_guard() -> None:
    assert find_breach(LIMITS, tally(900, share=0.8), tally(100, share=0.8), 1) is None


def test_an_entity_that_sends_most_of_the_traffic_counts_once() -> None:
    challenger = tally(200)
    for _ in range(5_000):
        challenger.observe(0, failed=True, replaced=True, slow=True)
    assert challenger.share_of("errors") == Share(pytest.approx(5000 / 5001 / 200), 200)
    assert find_breach(LIMITS, tally(900), challenger, 1) is None


def test_a_shift_of_the_scores_breaches_the_guard_and_empty_histograms_do_not() -> None:
    breach = find_breach(LIMITS, Tally([1900, 100]), Tally([500, 1500]), 1)
    assert breach is not None
    assert "0.70 apart" in breach
    assert find_breach(LIMITS, Tally([0, 0]), Tally([5, 5]), 1) is None


def test_the_error_probabilities_of_all_checks_add_up_to_the_stated_rate() -> None:
    assert GUARDS * sum(check_alpha(check) for check in range(1, 100_000)) == pytest.approx(FALSE_ABORT_RATE, rel=1e-4)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize(("a", "b"), [(0.01, 0.3), (2.0, 2.0), (0.05, 0.05)])
def test_bounds_of_a_mean_hold_as_often_as_stated(alpha: float, a: float, b: float) -> None:
    rng = np.random.default_rng(7)
    samples = rng.beta(a, b, size=(4_000, 60)).mean(axis=1)
    truth = a / (a + b)
    above = np.mean([lower_bound(Share(float(mean), 60), alpha) > truth for mean in samples])
    below = np.mean([upper_bound(Share(float(mean), 60), alpha) < truth for mean in samples])
    assert max(above, below) <= alpha


def test_bounds_have_their_known_values() -> None:
    assert lower_bound(Share(0.0, 100), 0.01) == 0
    assert upper_bound(Share(1.0, 100), 0.01) == 1
    assert upper_bound(Share(0.0, 100), 0.01) == pytest.approx(1 - math.exp(math.log(0.01) / 100))
    assert (lower_bound(Share(), 0.01), upper_bound(Share(), 0.01)) == (0, 1)
    assert divergence(0.5, 0.5) == 0
    assert divergence(0.5, 1.0) == math.inf
    assert ks_distance([1, 0], [0, 1]) == 1
    assert ks_distance([3, 3], [5, 5]) == 0
    assert dkw_band(10_000, 10_000, 0.01) == pytest.approx(2 * dkw_band(40_000, 40_000, 0.01))
