"""Scores are compared bit for bit, or within a few units in the last place."""

import numpy as np
import pytest

from skline.scoring.equality import MAX_ULPS, arrays_equal, scores_equal
from skline.scoring.scores import Exactness, Scores


def test_arrays_are_compared_to_the_bit_or_within_the_largest_number_of_ulps() -> None:
    one = np.array([1.0, np.nan, 0.0])
    assert arrays_equal(one, one.copy(), "bits")
    assert not arrays_equal(one, np.array([1.0, np.nan, -0.0]), "bits")
    assert arrays_equal(one, np.array([1.0 + MAX_ULPS * 2**-52, np.nan, -0.0]), "ulp")
    assert not arrays_equal(one, np.array([1.0 + (MAX_ULPS + 1) * 2**-52, np.nan, 0.0]), "ulp")
    assert not arrays_equal(one, np.array([1.0]), "ulp")
    assert not arrays_equal(np.array([1.0]), np.array([np.nan]), "ulp")
    assert arrays_equal(np.array([np.inf]), np.array([np.inf]), "ulp")


def test_the_mean_of_many_trees_is_equal_in_whatever_order_they_are_added() -> None:
    random = np.random.default_rng(1)
    trees = random.random((1_000, 1_000))
    in_order = np.add.accumulate(trees, axis=1)[:, -1] / 1_000
    shuffled = np.add.accumulate(trees[:, random.permutation(1_000)], axis=1)[:, -1] / 1_000
    assert not arrays_equal(in_order, shuffled, "bits")
    assert arrays_equal(in_order, shuffled, "ulp")


@pytest.mark.parametrize("exactness", ["bits", "ulp"])
@pytest.mark.parametrize("classes", [(False, True), (0, 1), ("no", "yes")])
def test_classes_without_probabilities_are_equal_or_not(classes: tuple[object, object], exactness: Exactness) -> None:
    first, second = (Scores(np.array([each], dtype=None), None) for each in classes)
    assert scores_equal(first, Scores(first.predictions.copy(), None), exactness)
    assert not scores_equal(first, second, exactness)
