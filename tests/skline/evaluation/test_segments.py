"""Metrics by segment, missing values included, and gaps between groups that can be compared."""

import pandas as pd
import pytest
from sklearn import metrics as sk

from skline.errors import SklineError
from skline.evaluation.segments import group_gaps, segment_metrics
from tests.skline.evaluation.shop import CONTRACT, make_rows


def test_missing_values_are_a_segment_and_a_metric_without_a_value_is_none() -> None:
    table, scores = make_rows()
    entries, small = segment_metrics(table, scores, CONTRACT, 0.5, (("town", "level"),), 100, seed=1)
    by_name = {(each["column"], each["value"]): each for each in entries}
    assert [value for column, value in by_name if column == "town"] == ["(missing)", "A", "B", "C"]
    assert small["level"] == 1
    rows = table["town"].isna().to_numpy()
    missing = by_name["town", "(missing)"]
    assert scores.probabilities is not None
    roc_auc = sk.roc_auc_score(table["bought"][rows], scores.probabilities[rows, 1])
    assert (missing["rows"], missing["roc_auc"]) == (rows.sum(), pytest.approx(roc_auc))
    assert missing["intervals"]["roc_auc"][0] < missing["roc_auc"] < missing["intervals"]["roc_auc"][1]
    without_positives = by_name["town", "C"]
    assert without_positives["recall"] is None
    assert without_positives["roc_auc"] is None
    assert "recall" not in without_positives["intervals"]
    assert without_positives["brier"] > 0
    assert ("town × level", "A × 0") in by_name
    with pytest.raises(SklineError, match="'age' is not a segment column"):
        segment_metrics(table, scores, CONTRACT, 0.5, (("town", "age"),), 100, seed=1)


def test_gaps_are_differences_of_rates_between_groups_that_have_the_rate() -> None:
    table, scores = make_rows()
    by_rate = {each["rate"]: each for each in group_gaps(table, scores, CONTRACT, 100, 200, seed=1)}
    expected = pd.Series(scores.predictions).groupby(table["town"].fillna("(missing)").to_numpy()).mean()
    selection = by_rate["selection_rate"]
    assert selection["groups"] == pytest.approx(expected.to_dict())
    assert selection["gap"] == pytest.approx(expected.max() - expected.min())
    assert selection["interval"][0] < selection["gap"] < selection["interval"][1]
    assert set(by_rate["true_positive_rate"]["groups"]) == {"(missing)", "A", "B"}  # C has no positive row
    assert selection["lowest"] == "C"
