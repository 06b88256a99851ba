"""Warnings about a regression: an R² below 0, and an interval that holds too few true values."""

from typing import Any

from skline.evaluation.warnings import find_warnings

PARTS = {"train": {"target_mean": 707.2}, "validation": {"target_mean": 349.0}, "test": {"target_mean": 141.0}}
MEANS = "The target's mean is 707.2 in train, 349 in validation, 141 in test. "


def coverage(share: float, margin: float, validation_rows: int = 1_000) -> dict[str, Any]:
    ends = {"coverage": share, "low": share - margin, "high": share + margin}
    return {"coverage": {"level": 0.9, "half_width": 1.0, "rows": validation_rows} | ends}


def test_an_r2_below_0_is_a_warning_with_the_means_of_the_target() -> None:
    [warning] = find_warnings({"model": {"r2": -3.74}}, {}, PARTS)
    assert warning.startswith("R² is -3.7400: the test part's own mean would predict it better")
    assert MEANS in warning


def test_an_interval_that_holds_too_few_values_is_a_warning() -> None:
    [warning] = find_warnings({"model": {"r2": 0.5}}, coverage(0.577, 0.03), PARTS)
    assert "is designed to hold 90% of true values and holds 57.7% (54.7% to 60.7%) of the test part" in warning
    assert MEANS in warning


def test_a_coverage_that_the_number_of_rows_explains_is_no_warning() -> None:
    assert find_warnings({"model": {"r2": 0.0}}, coverage(0.88, 0.01, validation_rows=1_000), {}) == ()
    assert find_warnings({"model": {"r2": 0.0}}, coverage(0.80, 0.01, validation_rows=30), {}) == ()
    assert find_warnings({"model": {"r2": 0.0}}, coverage(0.97, 0.01), {}) == ()


def test_classifiers_have_no_warnings() -> None:
    metrics = {"model": {"roc_auc": 0.6}}
    assert find_warnings(metrics, {"coverage": None}, {"train": {"class_shares": {"no": 0.5}}}) == ()


def test_a_classifier_that_finds_hardly_any_positive_row_is_a_warning_with_the_threshold() -> None:
    [warning] = find_warnings({"model": {"recall": 0.026}}, {"threshold": 0.5}, {})
    assert warning.startswith("recall is 0.0260 at the threshold 0.5")
    assert "`skline threshold`" in warning
    assert find_warnings({"model": {"recall": 0.4}}, {"threshold": 0.5}, {}) == ()
