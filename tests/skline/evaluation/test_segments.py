"""Segments are judged each by itself, missing values among them; gaps are between groups that can be compared."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.evaluation import leaks
from skline.evaluation.segments import gaps, segments
from skline.scoring.answers import Scores

CONTRACT = Contract(
    title="made up",
    columns=(
        Column(name="age", kind="number", nullable=True),
        Column(name="town", kind="string", nullable=True, segment=True, sensitive=True),
        Column(name="day", kind="date", example="2026-01-01"),
        Column(name="level", kind="integer", role="segment", segment=True, nullable=True),
        Column(name="key", kind="string", role="id"),
        Column(name="bought", kind="boolean", role="target"),
    ),
    task="binary",
    classes=(False, True),
)
N = 1_200


def world() -> tuple[pd.DataFrame, Scores]:
    random = np.random.default_rng(3)
    truth = random.random(N) < 0.4
    town = np.array(["A", "B", "C", None], dtype=object)[np.arange(N) % 4]
    truth &= town != "C"  # nobody of C ever bought
    chance = np.clip(0.3 * truth + random.random(N) * 0.7, 0, 1)
    table = pd.DataFrame(
        {
            "age": random.normal(40, 9, N).round(), "town": pd.array(town, dtype="str"),
            "day": pd.Timestamp("2026-01-01"), "level": np.where(np.arange(N) % 100 == 0, np.nan, np.arange(N) % 2),
            "key": [f"k{number}" for number in range(N)], "bought": truth,
        }
    )  # fmt: skip
    return table, Scores(chance >= 0.5, np.column_stack([1 - chance, chance]))


def test_missing_values_are_a_group_and_a_metric_without_a_value_is_none() -> None:
    table, scores = world()
    found, small = segments(table, scores, CONTRACT, 0.5, (("town", "level"),), 100, seed=1)
    by_name = {(each["column"], each["value"]): each for each in found}
    assert [value for column, value in by_name if column == "town"] == ["(missing)", "A", "B", "C"]
    assert small["level"] == 1
    rows = table["town"].isna().to_numpy()
    missing = by_name["town", "(missing)"]
    assert scores.probabilities is not None
    expected = sk.roc_auc_score(table["bought"][rows], scores.probabilities[rows, 1])
    assert (missing["rows"], missing["roc_auc"]) == (rows.sum(), pytest.approx(expected))
    assert missing["intervals"]["roc_auc"][0] < missing["roc_auc"] < missing["intervals"]["roc_auc"][1]
    nobody = by_name["town", "C"]
    assert nobody["recall"] is None
    assert nobody["roc_auc"] is None
    assert "recall" not in nobody["intervals"]
    assert nobody["brier"] > 0
    assert ("town × level", "A × 0") in by_name
    with pytest.raises(SklineError, match="'age' is no segment column"):
        segments(table, scores, CONTRACT, 0.5, (("town", "age"),), 100, seed=1)


def test_gaps_are_differences_of_rates_between_groups_that_have_them() -> None:
    table, scores = world()
    found = {each["rate"]: each for each in gaps(table, scores, CONTRACT, 100, 200, seed=1)}
    said = pd.Series(scores.predictions).groupby(table["town"].fillna("(missing)").to_numpy()).mean()
    selection = found["selection_rate"]
    assert selection["groups"] == pytest.approx(said.to_dict())
    assert selection["gap"] == pytest.approx(said.max() - said.min())
    assert selection["interval"][0] < selection["gap"] < selection["interval"][1]
    assert set(found["true_positive_rate"]["groups"]) == {"(missing)", "A", "B"}  # nobody of C could be found
    assert selection["lowest"] == "C"


def test_rows_in_both_parts_are_counted_whole_and_but_for_one_input() -> None:
    table, _ = world()
    train, test = table.iloc[:600].copy(), table.iloc[600:].copy()
    test.iloc[:30, :4] = train.iloc[:30, :4].to_numpy()
    test["age"] += 500
    test.iloc[:30, 0] = train.iloc[:30, 0].to_numpy()
    found = leaks.duplicates(train, test, CONTRACT)
    assert found["exact"] == pytest.approx(30 / 600)
    assert found["near"] == 1.0  # but for the age, every row of test is one of train
    assert found["but"]["age"] == pytest.approx(570 / 600)
    assert found["ids"] == {"key": 0}
    test.iloc[0, 4] = train.iloc[0, 4]
    assert leaks.duplicates(train, test, CONTRACT)["ids"] == {"key": 1}


def test_parts_that_differ_are_told_apart_by_the_column_they_differ_in() -> None:
    table, _ = world()
    train, test = table.iloc[:600], table.iloc[600:]
    alike = leaks.adversarial(train, test, CONTRACT, 1_000, seed=1)
    assert alike is not None
    assert alike["interval"][0] < 0.58
    apart = leaks.adversarial(train, test.assign(age=test["age"] + 30), CONTRACT, 1_000, seed=1)
    assert apart is not None
    assert apart["roc_auc"] > 0.9
    assert next(iter(apart["columns"])) == "age"
    assert apart["left_out"] == ["day"]
