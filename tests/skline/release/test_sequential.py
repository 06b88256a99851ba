"""Boundaries equal the published ones; boundaries and sample ratio raise false alarms as often as they state."""

from itertools import pairwise

import numpy as np
import pytest

from skline.release.experiment import ALPHA
from skline.release.sequential import MIN_SAMPLE_RATIO_P, boundaries, sample_ratio_p


@pytest.mark.parametrize(
    ("looks", "published"),
    [  # spending function of Lan and DeMets for O'Brien-Fleming, two-sided 0.05, five looks as gsDesign has them
        (1, [1.9600]),
        (5, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    ],
)
def test_boundaries_equal_the_published_ones(looks: int, published: list[float]) -> None:
    assert boundaries(looks) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("looks", [1, 2, 4, 10])
def test_equal_arms_cross_a_boundary_as_often_as_alpha_states(looks: int) -> None:
    steps = np.random.default_rng(3).normal(size=(200_000, looks))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, looks + 1))
    crossed = (np.abs(z) >= np.array(boundaries(looks))).any(axis=1).mean()
    assert crossed == pytest.approx(ALPHA, abs=5 * np.sqrt(ALPHA * (1 - ALPHA) / 200_000))


def test_repeated_looks_without_a_boundary_raise_false_alarms() -> None:
    steps = np.random.default_rng(3).normal(size=(50_000, 10))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 11))
    assert (np.abs(z) >= boundaries(1)[0]).any(axis=1).mean() > 0.15


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_fair_division_is_rejected_as_seldom_as_the_threshold_states(share: float) -> None:
    challengers = np.random.default_rng(4).binomial(10_000, share, size=20_000)
    alarms = np.mean([sample_ratio_p(10_000 - int(n), int(n), share) < MIN_SAMPLE_RATIO_P for n in challengers])
    assert alarms < MIN_SAMPLE_RATIO_P + 5 * np.sqrt(MIN_SAMPLE_RATIO_P / 20_000)
    assert alarms > 0
    assert sample_ratio_p(5_300, 4_700, 0.5) < 1e-6
    assert sample_ratio_p(0, 0, 0.5) == 1


@pytest.mark.parametrize(("looks", "alpha"), [(20, 1e-4), (20, 1e-6), (10, 0.2)])
def test_boundaries_exist_for_many_looks_at_small_error_probabilities(looks: int, alpha: float) -> None:
    limits = boundaries(looks, alpha)
    assert all(later < limit for limit, later in pairwise(limits))
    assert boundaries(1, alpha)[0] < limits[-1] < boundaries(1, alpha)[0] + 0.4
