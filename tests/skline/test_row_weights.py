"""Weights fall with age, and those of the review sample estimate totals of all predictions without bias."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from skline.errors import SklineError
from skline.row_weights import (
    WEIGHT,
    effective_rows,
    normalize,
    read_weights,
    recency_weights,
    selection_weights,
)

DAY = dt.timedelta(days=1)
START = np.datetime64("2026-01-01", "us")
days = st.lists(st.integers(0, 900), min_size=1, max_size=30)


def times(ages: list[int]) -> np.ndarray:
    return START - np.array(ages, dtype="timedelta64[D]")


@given(days, st.integers(1, 1_000))
def test_recency_weights_never_rise_with_age(ages: list[int], half_life: int) -> None:
    weights = recency_weights(times(sorted(ages)), half_life * DAY)
    assert (np.diff(weights) <= 0).all()
    assert (weights > 0).all()
    assert weights[0] == 1


@given(days, st.integers(1, 1_000))
def test_row_that_is_a_half_life_older_weighs_half_as_much(ages: list[int], half_life: int) -> None:
    older = [age + half_life for age in ages]
    younger_weights, older_weights = (
        recency_weights(times(each), half_life * DAY, newest=START) for each in (ages, older)
    )
    np.testing.assert_allclose(older_weights, younger_weights / 2, rtol=1e-9)


def test_row_after_the_newest_training_row_weighs_one() -> None:
    assert recency_weights(times([-30, 0, 90]), 90 * DAY, newest=START).tolist() == [1, 1, 0.5]


def test_row_without_a_time_has_no_age() -> None:
    with pytest.raises(SklineError, match="1 of 2 rows have no time"):
        recency_weights(np.array(["2026-01-01", "NaT"], dtype="datetime64[us]"), DAY)


def test_row_stands_for_as_many_predictions_as_its_selection_says() -> None:
    selected = pd.Series([False, False, True, None], dtype="boolean")
    weights = selection_weights(selected, [0.25, np.nan, np.nan, np.nan])
    assert weights.tolist() == [4, 1, 0, 0], "drawn at random, all have a label, selected by a decision, unknown"
    assert selection_weights(np.array([False, None, True], dtype=object), [np.nan] * 3).tolist() == [1, 0, 0]


@pytest.mark.parametrize("probability", [0.0, 1.5, -1.0])
def test_probability_that_is_none_is_an_error(probability: float) -> None:
    with pytest.raises(SklineError, match="1 of 1 values are not above 0 and at most 1"):
        selection_weights([False], [probability])


def test_weighted_sums_of_the_sample_estimate_those_of_all_predictions_without_bias() -> None:
    random = np.random.default_rng(1)
    rows, repetitions = 2_000, 2_000
    value = random.gamma(2, 1, rows)
    probability = np.where(np.arange(rows) < rows / 2, 0.05, 0.3)
    is_labelled_by_decision = value < np.median(value)
    totals, means, naive = np.empty(repetitions), np.empty(repetitions), np.empty(repetitions)
    for number in range(repetitions):
        drawn = random.random(rows) < probability
        selected = np.where(drawn, False, True)
        weights = selection_weights(selected, np.where(drawn, probability, np.nan))
        weights[~(drawn | is_labelled_by_decision)] = 0  # they have no label
        totals[number] = weights @ value
        means[number] = np.average(value, weights=weights)
        naive[number] = value[drawn | is_labelled_by_decision].mean()
    error = totals.std() / np.sqrt(repetitions)
    assert abs(totals.mean() - value.sum()) < 4 * error, "Horvitz and Thompson"
    # The ratio of two sums has a bias of the order of its variance (Hájek).
    assert abs(means.mean() - value.mean()) < 4 * means.std() / np.sqrt(repetitions) + means.var()
    assert naive.mean() < 0.7 * value.mean(), "labels that a decision selected, as they are"


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.001, 1_000))
def test_normalized_weights_have_a_mean_of_one_whatever_their_scale(values: list[float], factor: float) -> None:
    weights = np.array(values)
    np.testing.assert_allclose(normalize(weights), normalize(weights * factor), rtol=1e-9)
    assert normalize(weights).mean() == pytest.approx(1)
    assert effective_rows(weights) + 1e-9 >= 1
    assert effective_rows(weights) <= len(values) + 1e-9


def test_fit_by_normalized_weights_does_not_depend_on_their_scale() -> None:
    random = np.random.default_rng(2)
    X = random.normal(size=(500, 3))
    y = X[:, 0] + random.normal(size=500) > 0
    weights = recency_weights(START + np.arange(500).astype("timedelta64[D]"), 100 * DAY)
    first, second = (
        HistGradientBoostingClassifier(max_iter=20, l2_regularization=5)
        .fit(X, y, normalize(weights * factor))
        .predict_proba(X)
        for factor in (1, 64)
    )
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_part_without_weights_has_none(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2], WEIGHT: [0.5, 1.5]})
    frame.to_parquet(tmp_path / "weighted.parquet")
    frame[["x"]].to_parquet(tmp_path / "plain.parquet")
    weights = read_weights(tmp_path / "weighted.parquet")
    assert weights is not None
    assert weights.tolist() == [0.5, 1.5]
    assert read_weights(tmp_path / "plain.parquet") is None
