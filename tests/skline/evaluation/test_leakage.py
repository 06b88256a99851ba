"""Rows that are in both parts, and whether a model can distinguish the parts."""

import pytest

from skline.evaluation.leakage import adversarial_validation, count_duplicates
from skline.evaluation.rows import Rows
from tests.skline.evaluation.shop import CONTRACT, make_rows


def test_duplicates_are_counted_in_all_inputs_and_in_all_inputs_but_one() -> None:
    table, _ = make_rows()
    train, test = table.iloc[:600].copy(), table.iloc[600:].copy()
    test.iloc[:30, :4] = train.iloc[:30, :4].to_numpy()
    test["age"] += 500
    test.iloc[:30, 0] = train.iloc[:30, 0].to_numpy()
    duplicates = count_duplicates(Rows.of(train), Rows.of(test), CONTRACT)
    assert duplicates["exact"] == pytest.approx(30 / 600)
    assert duplicates["near"] == 1.0  # but for the age, every test row equals a training row
    assert duplicates["but"]["age"] == pytest.approx(570 / 600)
    assert duplicates["ids"] == {"key": 0}
    test.iloc[0, 4] = train.iloc[0, 4]
    assert count_duplicates(Rows.of(train), Rows.of(test), CONTRACT)["ids"] == {"key": 1}


def test_adversarial_validation_names_the_column_in_which_the_parts_differ() -> None:
    table, _ = make_rows()
    train, test = table.iloc[:600], table.iloc[600:]
    alike = adversarial_validation(Rows.of(train), Rows.of(test), CONTRACT, 1_000, seed=1)
    assert alike is not None
    assert alike["interval"][0] < 0.58
    apart = adversarial_validation(Rows.of(train), Rows.of(test.assign(age=test["age"] + 30)), CONTRACT, 1_000, seed=1)
    assert apart is not None
    assert apart["roc_auc"] > 0.9
    assert next(iter(apart["columns"])) == "age"
    assert apart["left_out"] == ["day"]
