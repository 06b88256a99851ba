"""Scores are compared bit for bit, or within a few units in the last place."""

import numpy as np

from skline.scoring.equality import arrays_equal


def test_arrays_are_compared_to_the_bit_or_within_four_ulps() -> None:
    one = np.array([1.0, np.nan, 0.0])
    assert arrays_equal(one, one.copy(), "bits")
    assert not arrays_equal(one, np.array([1.0, np.nan, -0.0]), "bits")
    assert arrays_equal(one, np.array([1.0 + 4 * 2**-52, np.nan, -0.0]), "ulp")
    assert not arrays_equal(one, np.array([1.0 + 5 * 2**-52, np.nan, 0.0]), "ulp")
    assert not arrays_equal(one, np.array([1.0]), "ulp")
    assert not arrays_equal(np.array([1.0]), np.array([np.nan]), "ulp")
    assert arrays_equal(np.array([np.inf]), np.array([np.inf]), "ulp")
