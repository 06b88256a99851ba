"""Tests of the statistics of monitoring against known truths and other implementations."""

import datetime as dt
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from skline.evaluation.bootstrap import percentile_interval
from skline.evaluation.resampling import BinarySample, RegressionSample
from skline.monitoring.cbpe import estimate_binary, expected_binary_metrics
from skline.monitoring.checks import Check
from skline.monitoring.clusters import design_effect, share_design_effect
from skline.monitoring.concept import detect_rises
from skline.monitoring.data_results import Quality
from skline.monitoring.drift import adjust, category_drift, numeric_drift, weighted_importance
from skline.monitoring.estimates import Estimate, mean_estimate, wilson
from skline.monitoring.label_analysis import _segment_codes, estimate_metrics
from skline.monitoring.performance import (
    _draw_systematically,
    draw_weighted,
    inclusion_periods,
    metric_estimates,
    score_bands,
)
from skline.monitoring.persistence import PastWindow, distinct_windows, with_state
from skline.monitoring.quality import column_quality, quality_checks, rows_ratio
from skline.settings.monitor import Monitor

FLOATS = st.floats(-1e6, 1e6, width=32)


@pytest.fixture
def random() -> np.random.Generator:
    """Numbers that do not depend on which tests ran before."""
    return np.random.default_rng(5)


@given(
    arrays(np.float64, st.integers(20, 80), elements=FLOATS), arrays(np.float64, st.integers(20, 80), elements=FLOATS)
)
@settings(max_examples=40, deadline=None)
def test_ks_distance_equals_that_of_scipy(values: np.ndarray, reference: np.ndarray) -> None:
    drift = numeric_drift("a", "number", values, reference)
    assert drift.effect.value == pytest.approx(stats.ks_2samp(values, reference, method="asymp").statistic)
    assert sum(drift.shares) == pytest.approx(1, abs=1e-4)


def test_missing_values_and_new_categories_are_distances(random: np.random.Generator) -> None:
    numbers = random.normal(size=2_000)
    gone = np.where(random.random(2_000) < 0.3, np.nan, numbers)
    assert numeric_drift("a", "number", gone, numbers).effect.value == pytest.approx(0.3, abs=0.03)
    words = random.choice(np.array(["a", "b"], dtype=object), 2_000)
    new = np.where(random.random(2_000) < 0.2, "new", words)
    drift = category_drift("c", "string", new, words)
    assert drift.effect.value == pytest.approx(0.2, abs=0.03)
    assert dict(zip(drift.bins, drift.shares, strict=True))["(unseen)"] == pytest.approx(0.2, abs=0.03)


def unique_texts(random: np.random.Generator, rows: int) -> np.ndarray:
    return np.array([f"order {number}" for number in random.integers(0, 10**12, rows)], dtype=object)


@pytest.mark.parametrize("rows", [300, 10_000])
def test_unique_texts_do_not_drift(random: np.random.Generator, rows: int) -> None:
    drift = category_drift("c", "string", unique_texts(random, rows), unique_texts(random, 5_000))
    assert (drift.effect.value, drift.p) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.5))
    assert len(drift.bins) < 5


def test_texts_that_belong_to_entities_do_not_drift(random: np.random.Generator) -> None:
    entities = random.integers(0, 200, 10_000)
    names, others = unique_texts(random, 200)[entities], unique_texts(random, 200)[random.integers(0, 200, 5_000)]
    drift = category_drift("c", "string", names, others, entities)
    assert (drift.effect.value or 0) < 0.1 or (drift.p or 0) > 0.01


def test_categories_of_entities_are_not_chosen_by_their_difference(random: np.random.Generator) -> None:
    names = np.array([f"c{number}" for number in range(50)], dtype=object)

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
        entities = random.integers(0, 200, rows)
        own = random.choice(names, 200)[entities]
        return np.where(random.random(rows) < 0.7, own, random.choice(names, rows)).astype(object), entities

    significant = 0
    for _ in range(100):
        (values, entities), (reference, _) = draw(1_000), draw(5_000)
        significant += (category_drift("c", "string", values, reference, entities).p or 0) < 0.05
    assert significant <= 12


def test_value_that_replaces_unique_texts_is_a_distance(random: np.random.Generator) -> None:
    replaced = np.where(random.random(300) < 0.4, "unknown", unique_texts(random, 300)).astype(object)
    drift = category_drift("c", "string", replaced, unique_texts(random, 5_000))
    assert drift.effect.value == pytest.approx(0.4, abs=0.06)
    assert dict(zip(drift.bins, drift.shares, strict=True))["(unseen)"] == pytest.approx(0.4, abs=0.06)


def test_distance_of_many_categories_is_small_without_drift(random: np.random.Generator) -> None:
    names = np.array([f"c{number}" for number in range(50)], dtype=object)
    drifts = [category_drift("c", "string", random.choice(names, 300), random.choice(names, 5_000)) for _ in range(20)]
    assert np.mean([each.effect.value or 0.0 for each in drifts]) < 0.05
    half = category_drift("c", "string", random.choice(names[:25], 300), random.choice(names, 5_000))
    assert half.effect.value == pytest.approx(0.5, abs=0.05)


def test_categories_that_occur_once_in_training_make_unseen_ones_usual() -> None:
    training = {f"t{number}": 1 for number in range(60)} | {"common": 140}
    values = np.array([f"new {number}" for number in range(90)] + ["common"] * 210, dtype=object)
    quality = column_quality("c", "string", values, {"categories": training}, known=frozenset(training))
    assert (quality.unseen.value, quality.reference_unseen) == (pytest.approx(0.3), pytest.approx(0.3))
    described = Quality(
        rows=300, expected_rows=None, rows_ratio=Estimate(), by_contract={}, broken_rows=0, conflicting_labels=0,
        columns=(quality,),
    )  # fmt: skip
    checks = {each.rule: each.raised for each in quality_checks(described, Monitor().quality, 300, 300)}
    assert checks["unseen"] is False


def test_both_keys_are_needed(random: np.random.Generator) -> None:
    reference = random.normal(size=50_000)
    trivial = numeric_drift("trivial", "number", random.normal(size=100_000) + 0.08, reference)
    large = numeric_drift("large", "number", random.normal(size=400) + 0.6, reference)
    few = numeric_drift("few", "number", random.normal(size=100) + 3, reference)
    columns = {each.column: each for each in adjust([trivial, large, few], 0.1, 0.01, 300)}
    assert (columns["trivial"].drifted, columns["large"].drifted, columns["few"].drifted) == (False, True, None)
    assert (columns["trivial"].p_adjusted or 1) < 0.01
    share = weighted_importance(list(columns.values()), {"large": 3.0, "trivial": 1.0, "few": -1.0})
    assert share == pytest.approx(0.75 * (columns["large"].effect.value or 0))


def test_rows_of_an_entity_are_worth_less(random: np.random.Generator) -> None:
    entities = np.repeat(np.arange(50), 20)
    same = random.normal(size=50)[entities]
    assert len(same) / design_effect(same, entities) == pytest.approx(50)
    assert design_effect(random.normal(size=1_000), entities) < 2
    constant = np.repeat(random.normal(size=50), 20)
    drift = numeric_drift("a", "number", constant, random.normal(size=1_000), entities)
    assert drift.effective_rows == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("entities", [np.repeat(np.arange(50), 20), np.repeat([-1, 7, 10**12], [10, 490, 500])])
def test_design_effect_of_shares_is_the_mean_of_those_of_the_bins(
    random: np.random.Generator, entities: np.ndarray
) -> None:
    bins = np.where(random.random(1_000) < 0.5, entities % 5, random.integers(0, 5, 1_000))
    shares = np.bincount(bins) / 1_000
    each = [design_effect((bins == code).astype(np.float64), entities) for code in range(5)]
    assert share_design_effect(bins, entities) == pytest.approx(
        np.average(each, weights=shares * (1 - shares)), rel=1e-9
    )


def test_rows_without_an_entity_are_drawn_alone() -> None:
    draws = list(draw_weighted(np.ones(50, dtype=bool), None, np.full(50, -1), 5, seed=1))
    assert all(len(np.unique(draw)) > 20 for draw in draws[1:])
    assert any(len(np.unique(draw)) < 50 for draw in draws[1:])


@pytest.mark.parametrize("compare", [numeric_drift, category_drift])
def test_rows_without_an_entity_are_compared_as_entities_of_their_own(
    compare: Any, random: np.random.Generator
) -> None:
    entities = np.concatenate([np.repeat(np.arange(40), 10), np.full(400, -1)])
    numbered = np.concatenate([np.repeat(np.arange(40), 10), np.arange(40, 440)])
    values = np.concatenate([np.repeat(random.normal(size=40).round(), 10), random.normal(size=400).round()])
    reference = random.normal(0.2, size=800).round()
    if compare is category_drift:
        values, reference = (each.astype(str).astype(object) for each in (values, reference))
    assert compare("a", "x", values, reference, entities) == compare("a", "x", values, reference, numbered)


@pytest.mark.parametrize(
    ("raised", "states"), [("10", "warning ok"), ("11", "warning alarm"), ("101", "warning ok alarm")]
)
def test_alarm_needs_two_of_three_windows(raised: str, states: str) -> None:
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    history: list[PastWindow] = []
    seen = []
    for number, flag in enumerate(raised):
        start = day + number * dt.timedelta(days=1)
        check = Check(part="drift", rule="effect", subject="a", raised=flag == "1")
        seen.append(with_state(check, start, distinct_windows(history, start, 2), 2).state)
        history.append(PastWindow(start, start + dt.timedelta(days=1), {check.key: check.raised}))
    assert seen == states.split()


def test_overlapping_windows_do_not_make_an_alarm() -> None:
    start = dt.datetime(2026, 1, 8, tzinfo=dt.UTC)
    overlapping = [PastWindow(start - dt.timedelta(hours=h), start + dt.timedelta(days=7 - h), {}) for h in (1, 2)]
    assert distinct_windows(overlapping, start, 2) == []


def test_reweighted_labels_represent_all_rows(random: np.random.Generator) -> None:
    scores = random.beta(2, 4, 20_000)
    truth = random.random(20_000) < scores
    labelled = random.random(20_000) < np.where(scores < 0.33, 0.8, 0.2)
    sample = BinarySample(truth[labelled], scores[labelled], 0.5)
    bands = score_bands(scores)
    estimates = metric_estimates(sample, labelled, bands, None, 100, 1, only="brier")["brier"]
    everything = float(((scores - truth) ** 2).mean())
    assert (estimates.low or 1) < everything < (estimates.high or 0)
    naive = metric_estimates(sample, labelled, None, None, 100, 1, only="brier")["brier"]
    assert (naive.high or 1) < everything


def test_review_sample_holds_where_labels_are_missing_because_of_their_value(random: np.random.Generator) -> None:
    scores = random.beta(2, 4, 20_000)
    truth = random.random(20_000) < scores
    drawn = random.random(20_000) < np.where(np.arange(20_000) < 10_000, 0.02, 0.2)
    labelled = drawn | (truth & (random.random(20_000) < 0.5))
    everything = float(((scores - truth) ** 2).mean())

    def brier(rows: np.ndarray, strata: np.ndarray) -> Estimate:
        sample = BinarySample(truth[rows], scores[rows], 0.5)
        return metric_estimates(sample, rows, strata, None, 100, 1, only="brier")["brier"]

    reviewed = brier(drawn, inclusion_periods(drawn))
    assert (reviewed.low or 1) < everything < (reviewed.high or 0)
    assert (brier(labelled, score_bands(scores)).low or 0) > everything


def test_resamples_are_not_in_memory_all_at_once(random: np.random.Generator) -> None:
    scores = random.random(10_000)
    labelled = np.arange(10_000) % 2 == 0
    sample = RegressionSample(random.random(5_000), scores[labelled])
    tracemalloc.start()
    metric_estimates(sample, labelled, score_bands(scores), None, 300, 1, only="mae")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6  # 300 draws of 20,000 row numbers are 48 MB


def test_entities_are_drawn_as_a_whole() -> None:
    entities = np.repeat(np.arange(10), 5)
    draws = list(draw_weighted(np.ones(50, dtype=bool), None, entities, 5, seed=1))
    assert len(draws) == 6
    for draw in draws:
        counts = np.bincount(draw[0], minlength=50).reshape(10, 5)
        assert (counts == counts[:, :1]).all()


def test_rise_of_the_error_is_found_and_its_fall_is_not(random: np.random.Generator) -> None:
    low, high = (random.random(4_000) < 0.1), (random.random(4_000) < 0.2)
    rises = detect_rises(np.concatenate([low, high]).astype(np.float64), 0.002)
    assert any(4_000 <= each.position < 6_000 and each.after > each.before for each in rises)
    assert not [
        each for each in detect_rises(np.concatenate([high, low]).astype(np.float64), 0.002) if each.position > 4_000
    ]


def test_expected_metrics_equal_the_realized_ones_of_calibrated_scores(random: np.random.Generator) -> None:
    scores = random.beta(2, 4, 50_000)
    truth = random.random(50_000) < scores
    sample = BinarySample(truth, scores, 0.4)
    expected = expected_binary_metrics(scores, 0.4)
    realized = {name: each.value for name, each in metric_estimates(sample, truth | True, None, None, 0, 1).items()}
    for name in ("roc_auc", "pr_auc", "brier", "log_loss", "precision", "recall", "f1"):
        assert expected[name] == pytest.approx(realized[name], abs=0.02), name


def test_metrics_are_estimated_from_the_least_number_of_rows_on(random: np.random.Generator) -> None:
    contract: Any = SimpleNamespace(task="binary")
    reference: Any = SimpleNamespace(threshold=0.4)
    few: Any = SimpleNamespace(scores=random.random(199))
    many: Any = SimpleNamespace(scores=random.random(200))
    assert estimate_metrics(few, contract, reference, 200) == []
    assert {each.name for each in estimate_metrics(many, contract, reference, 200)} >= {"roc_auc", "brier"}


def test_row_count_is_compared_with_earlier_weeks() -> None:
    expected, ratio = rows_ratio(300, [1_000, 1_050, 980, 1_010])
    assert expected == pytest.approx(1_010)
    assert (ratio.high or 1) < 0.5
    assert rows_ratio(300, [])[0] is None


def test_intervals_of_shares_and_means(random: np.random.Generator) -> None:
    share = wilson(0.0, 50)
    assert (share.low, share.value) == (0.0, 0.0)
    assert 0.05 < (share.high or 0) < 0.1
    values = random.normal(size=400)
    equal = mean_estimate(values, None)
    assert equal.value == pytest.approx(values.mean())
    assert ((equal.high or 0) - (equal.low or 0)) / 2 == pytest.approx(1.96 * values.std(ddof=1) / 20, rel=1e-3)


@given(st.lists(st.floats(0, 1, width=32), max_size=40), st.integers(1, 60), st.floats(0, 1, width=32))
@settings(max_examples=25, deadline=None)
def test_rises_are_those_of_asking_adwin_at_each_error(start: list[float], repeats: int, later: float) -> None:
    from river.drift import ADWIN

    errors = np.array(start * repeats + [later] * 400)
    detector, expected = ADWIN(delta=0.002), []
    for position, error in enumerate(errors.tolist()):
        before = detector.estimation
        detector.update(error)
        if detector.drift_detected and detector.estimation > before:
            expected.append((position, before, detector.estimation))
    assert detect_rises(errors, 0.002) == expected


@given(st.lists(st.floats(0, 1).map(lambda score: round(score, 2)), min_size=2, max_size=60), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_estimates_of_resampled_scores_are_those_of_each_sample_alone(scores: list[float], seed: int) -> None:
    values = np.array(scores)
    random = np.random.default_rng(seed)
    draws = [expected_binary_metrics(random.choice(values, len(values)), 0.5) for _ in range(100)]
    for each in estimate_binary(values, 0.5, seed):
        ends = percentile_interval(np.array([draw[each.name] for draw in draws])) or (None, None)
        assert (each.estimate.low, each.estimate.high) == pytest.approx(ends, nan_ok=True), each.name


def test_segments_are_the_largest_texts_of_a_column() -> None:
    values = np.array([1.0, 1.0000001, np.nan, 2.5, 1.0, np.nan, 2.5])
    names, codes = _segment_codes(values)
    assert names == ["(missing)", "1", "1.0000001", "2.5"]
    assert codes.tolist() == [1, 2, 0, 3, 1, 0, 3]
    names, _ = _segment_codes(np.array([1_234_567.0, 1_234_568.0]))
    assert names == ["1234567", "1234568"]
    names, codes = _segment_codes(np.array(["b", None, "a", "b"], dtype=object))
    assert [names[code] for code in codes] == ["b", "(missing)", "a", "b"]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30).filter(any), st.floats(0, 1, exclude_max=True))
@settings(max_examples=50)
def test_point_of_a_systematic_draw_belongs_to_the_row_whose_weight_holds_it(
    weights: list[float], start: float
) -> None:
    cumulative, size = np.cumsum(weights), 4 * len(weights)
    points = (start + np.arange(size)) * (cumulative[-1] / size)
    expected = np.minimum(np.searchsorted(cumulative, points, side="right"), len(weights) - 1)
    assert _draw_systematically(cumulative, start, size).tolist() == expected.tolist()
