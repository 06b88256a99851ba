"""Boundaries and the sample ratio: as published, and as often wrong as they say."""

import numpy as np
import pytest

from skline.release.sequential import MISMATCH, boundaries, sample_ratio


@pytest.mark.parametrize(
    ("boundary", "published"),
    [  # spending functions of Lan and DeMets, five looks, two-sided 0.05, as gsDesign has them
        ("obrien-fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_are_the_published_ones(boundary: str, published: list[float]) -> None:
    assert boundaries(boundary, 5, 0.05) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("boundary", ["fixed", "obrien-fleming", "pocock"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_equal_arms_are_told_apart_as_often_as_alpha_says(boundary: str, alpha: float) -> None:
    looks = 1 if boundary == "fixed" else 4
    steps = np.random.default_rng(3).normal(size=(200_000, looks))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, looks + 1))
    crossed = (np.abs(z) >= np.array(boundaries(boundary, looks, alpha))).any(axis=1).mean()
    assert crossed == pytest.approx(alpha, abs=5 * np.sqrt(alpha * (1 - alpha) / 200_000))


def test_looking_often_without_a_boundary_would_raise_false_alarms() -> None:
    steps = np.random.default_rng(3).normal(size=(50_000, 10))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 11))
    assert (np.abs(z) >= boundaries("fixed", 1, 0.05)[0]).any(axis=1).mean() > 0.15


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_fair_division_is_called_uneven_as_seldom_as_it_should(share: float) -> None:
    challengers = np.random.default_rng(4).binomial(10_000, share, size=20_000)
    alarms = np.mean([sample_ratio(10_000 - int(n), int(n), share) < MISMATCH for n in challengers])
    assert alarms < MISMATCH + 5 * np.sqrt(MISMATCH / 20_000)
    assert alarms > 0
    assert sample_ratio(5_300, 4_700, 0.5) < 1e-6
    assert sample_ratio(0, 0, 0.5) == 1
