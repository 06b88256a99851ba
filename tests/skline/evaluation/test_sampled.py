"""Metrics of many resamples at once are scikit-learn's metrics of each of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.evaluation import metrics as one_by_one
from skline.evaluation.bootstrap import all_once, draws
from skline.evaluation.sampled import Binary, Multiclass, Regression

CLASSES = np.array(["a", "b", "c"])
worlds = st.tuples(st.integers(40, 90), st.integers(0, 10_000), st.sampled_from([1, 2, 8]))


def agree(found: dict[str, np.ndarray], expected: list[dict[str, float]], names: set[str]) -> None:
    for name in names:
        assert found[name] == pytest.approx([each[name] for each in expected], abs=1e-9), name


@settings(max_examples=20)
@given(worlds)
def test_binary(world: tuple[int, int, int]) -> None:
    n, seed, digits = world
    random = np.random.default_rng(seed)
    truth = random.permutation(np.arange(n) % 3 == 0)
    scores = np.round(random.random(n), digits)  # with ties, and with 0 and 1
    model, rows = Binary(truth, scores, 0.4), next(draws(n, 3, seed))
    whole = [one_by_one.binary_metrics(truth, scores, 0.4)]
    agree(model.metrics(all_once(n)), whole, set(whole[0]))
    each = [one_by_one.binary_metrics(truth[drawn], scores[drawn], 0.4) for drawn in rows]
    agree(model.metrics(rows), each, set(each[0]) - {"ece"})  # whose bins are those of the rows as they are


@settings(max_examples=12)
@given(worlds)
def test_multiclass(world: tuple[int, int, int]) -> None:
    n, seed, _ = world
    random = np.random.default_rng(seed)
    truth, chances = CLASSES[random.permutation(np.arange(n) % 3)], random.dirichlet([1, 1, 1], n)
    model, rows = Multiclass(truth, chances, CLASSES), next(draws(n, 3, seed))
    whole = [one_by_one.multiclass_metrics(truth, chances, CLASSES)]
    agree(model.metrics(all_once(n)), whole, set(whole[0]))
    each = [one_by_one.multiclass_metrics(truth[drawn], chances[drawn], CLASSES) for drawn in rows]
    agree(model.metrics(rows), each, set(each[0]) - {"ece"})


@settings(max_examples=12)
@given(worlds, st.floats(-1e6, 1e6))
def test_regression(world: tuple[int, int, int], middle: float) -> None:
    n, seed, _ = world
    random = np.random.default_rng(seed)
    truth = random.normal(middle, 1, n)
    said = truth + random.normal(0, 0.5, n)
    model, rows = Regression(truth, said), next(draws(n, 3, seed))
    each = [one_by_one.regression_metrics(truth[drawn], said[drawn]) for drawn in rows]
    found = model.metrics(rows)
    for name in each[0]:
        assert found[name] == pytest.approx([one[name] for one in each], rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize("only", ["roc_auc", "brier", "ece"])
def test_one_metric_alone_is_the_same(only: str) -> None:
    random = np.random.default_rng(1)
    model, rows = Binary(random.random(50) < 0.4, random.random(50), 0.5), next(draws(50, 20, 1))
    assert np.array_equal(model.metrics(rows, only)[only], model.metrics(rows)[only])


def test_what_has_no_value_is_nan_and_never_zero() -> None:
    found = Binary(np.zeros(20, dtype=bool), np.linspace(0, 1, 20), 0.5).metrics(all_once(20))
    assert all(np.isnan(found[name]).all() for name in ("roc_auc", "pr_auc", "recall"))
