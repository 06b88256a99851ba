"""The values of leaves are added in the order of the trees, as the estimators do; otherwise the last bits differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skline.scoring.estimators.ensemble import add_in_order


@given(st.data(), st.sampled_from(["float64", "float32"]), st.integers(1, 40), st.integers(1, 3), st.integers(1, 4))
def test_terms_are_added_one_after_the_other(data, dtype, trees, width, rows):
    values = st.floats(-1e6, 1e6, width=np.dtype(dtype).itemsize * 8)
    terms = data.draw(arrays(dtype, (trees, width, rows, 1), elements=values))
    expected = terms[0].copy()
    for term in terms[1:]:
        expected = expected + term
    assert add_in_order(terms).tobytes() == expected.tobytes()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 255, 256])
def test_long_sums_are_not_added_in_pairs(rows):
    terms = np.random.default_rng(rows).normal(size=(1_000, 1, rows, 1))
    expected = np.add.accumulate(terms, axis=0)[-1]
    assert add_in_order(terms).tobytes() == expected.tobytes()
    in_pairs = np.ascontiguousarray(terms.transpose(1, 2, 3, 0)).sum(axis=-1)
    assert in_pairs.tobytes() != expected.tobytes(), "the order matters for these terms"


@pytest.mark.parametrize("rows", [1, 2])
def test_a_sum_of_negative_zeros_keeps_its_sign(rows):
    assert np.signbit(add_in_order(np.full((3, 1, rows, 1), -0.0))).all()
