"""Tests of whether a metric is worse than on the test part."""

import datetime as dt
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.evaluation.bootstrap import confidence_intervals, metric_value
from skline.evaluation.resampling import RegressionSample
from skline.monitoring.estimates import Estimate, estimate
from skline.monitoring.label_results import MetricResult, Performance
from skline.monitoring.loss import ComparedRows, is_worse, is_worse_beyond_chance, is_worse_than_reference
from skline.monitoring.performance import performance_checks

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def test_metric_is_worse_than_its_reference_beyond_the_chance_in_both() -> None:
    random, half = np.random.default_rng(7), 1.96 * 0.02
    raised, of_window_alone = 0, 0
    for _ in range(2_000):
        now, reference = 0.8 + 0.02 * random.normal(size=2)
        metric = MetricResult(
            name="roc_auc", label="ROC AUC", better="higher", unweighted=now, floor=None,
            estimate=estimate(now, now - half, now + half),
            reference=estimate(reference, reference - half, reference + half),
        )  # fmt: skip
        raised += bool(is_worse_than_reference(metric))
        of_window_alone += bool(is_worse(metric, reference))
    assert raised / 2_000 < 0.035, "2.5 % are expected of a model that did not change"
    assert of_window_alone / 2_000 > 0.06, "an interval of the window alone raises more often"


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_loss_against_the_reference_has_a_direction_and_a_margin(better: Literal["higher", "lower"]) -> None:
    sign = -1 if better == "higher" else 1
    for loss, expected in ((0.2, True), (0.04, False), (-0.2, False)):
        value = 0.5 + sign * loss
        metric = MetricResult(
            name="m", label="m", better=better, unweighted=value, floor=None,
            estimate=estimate(value, value - 0.01, value + 0.01), reference=estimate(0.5, 0.49, 0.51),
        )  # fmt: skip
        assert is_worse_than_reference(metric, margin=0.05) is expected
    unknown = metric.model_copy(update={"reference": Estimate()})
    assert is_worse_than_reference(unknown) is None


def symmetric(value: float, error: float) -> Estimate:
    return estimate(value, value - error, value + error)


def test_error_of_the_test_part_is_pooled_by_rows() -> None:
    now, reference, rows = symmetric(0.7, 0.02), symmetric(0.8, 0.04), ComparedRows(900, 100)
    pooled = math.sqrt((100 * 0.04**2 + 900 * 0.02**2 * 900 / 100) / 1_000)
    loss = 0.1 - math.hypot(0.02, pooled)
    assert is_worse_beyond_chance(now, reference, "higher", loss - 1e-9, rows)
    assert not is_worse_beyond_chance(now, reference, "higher", loss + 1e-9, rows)
    assert is_worse_beyond_chance(now, reference, "higher", loss + 1e-9)


@given(
    st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1),
    st.integers(1, 10_000), st.integers(1, 10_000), st.sampled_from(["higher", "lower"]),
)  # fmt: skip
def test_pooling_never_finds_a_loss_that_the_own_intervals_do_not_show(
    value: float, below: float, above: float, reference_below: float, reference_above: float, rows: int, test_rows: int,
    better: Literal["higher", "lower"],
) -> None:  # fmt: skip
    now, reference = estimate(value, value - below, value + above), estimate(0.0, -reference_below, reference_above)
    if is_worse_beyond_chance(now, reference, better, 0.02, ComparedRows(rows, test_rows)):
        assert is_worse_beyond_chance(now, reference, better, 0.02)


def test_reference_without_an_interval_is_exact() -> None:
    now, rows = symmetric(0.7, 0.02), ComparedRows(900, 100)
    assert is_worse_beyond_chance(now, estimate(0.8), "higher", 0.079, rows)
    assert is_worse_beyond_chance(now, estimate(0.8, 0.79, 0.81), "higher", 0.079, rows) is False


def test_windows_without_a_change_of_heavy_tailed_errors_do_not_raise() -> None:
    random = np.random.default_rng(3)

    def rmse(rows: int) -> Estimate:
        sample = RegressionSample(np.zeros(rows), random.standard_t(3, rows))
        return estimate(metric_value(sample, "rmse"), *(confidence_intervals(sample, 200, 1)["rmse"] or (None, None)))

    windows, tests = [rmse(5_000) for _ in range(20)], [rmse(300) for _ in range(100)]
    pairs = [(now, reference) for now in windows for reference in tests]
    own = np.mean([is_worse_beyond_chance(*pair, "lower", 0.0) for pair in pairs])
    pooled = np.mean([is_worse_beyond_chance(*pair, "lower", 0.0, ComparedRows(5_000, 300)) for pair in pairs])
    assert own > 0.1, "2.5 % are nominal: the interval of a test part without large errors is too narrow"
    assert pooled < 0.02


@pytest.mark.parametrize(
    ("changed", "raised"),
    [({}, False), ({"weighted": True}, True), ({"entities": 50}, True), ({"test_rows": 0}, True)],
)
def test_rows_are_pooled_only_if_all_of_them_count_the_same(changed: dict[str, object], raised: bool) -> None:
    metric = MetricResult(
        name="rmse", label="RMSE", better="lower", estimate=symmetric(0.6, 0.02), reference=symmetric(0.5, 0.03)
    )
    performance = Performance(
        start=START, end=START + dt.timedelta(days=1), metric="rmse", rows=5_000, labelled=5_000, weighted=False,
        uncovered=0.0, entities=None, test_rows=300, metrics=(metric,),
    ).model_copy(update=changed)  # fmt: skip
    (check,) = performance_checks(performance, 0.02, 300)
    assert check.raised is raised
