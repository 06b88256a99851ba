"""Golden rows cover the inputs of a pipeline: the example, sampled rows, missing values and unseen categories."""

import re

import pandas as pd
import pytest

from skline.contract.spec import Column, Contract
from skline.scoring.golden_rows import choose_golden_rows, unseen_category
from skline.scoring.golden_verification import parse_rows
from tests.fixtures import demo


def test_golden_rows_are_the_example_edge_cases_and_sampled_rows() -> None:
    train, validation = demo.parts()["train"], demo.parts()["validation"]
    rows = choose_golden_rows(train, validation, demo.contract(), 10, seed=1)
    assert rows[0] == {column.name: column.example for column in demo.contract().inputs}
    assert any(row["distance"] is None for row in rows)
    assert any(row["carrier"] not in set(train["carrier"]) for row in rows)
    assert rows == choose_golden_rows(train, validation, demo.contract(), 10, seed=1)
    assert rows != choose_golden_rows(train, validation, demo.contract(), 10, seed=2)


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ({}, ["a", "b"]),
        ({"pattern": "[A-Z]{2}"}, ["AB", "CD"]),
        ({"max_length": 3}, ["abc", "xyz"]),
        ({"choices": ("a", "b", "c")}, ["a", "b"]),
    ],
)
def test_unseen_category_satisfies_the_contract_and_is_not_in_training(
    rules: dict[str, object], seen: list[str]
) -> None:
    column = Column.model_validate({"name": "c", "kind": "string"} | rules)
    category = unseen_category(pd.Series(seen, dtype="str"), column)
    assert category is not None
    assert category not in seen
    assert column.pattern is None or re.fullmatch(column.pattern, category)
    assert column.max_length is None or len(category) <= column.max_length
    assert column.choices is None or category in column.choices


def test_a_word_for_a_missing_value_is_no_unseen_category() -> None:
    country = Column(name="country", kind="string", pattern="[A-Z]{2}", example="AN")
    target = Column(name="y", kind="boolean", role="target")
    contract = Contract(title="Inputs", columns=(country, target), task="binary", classes=(False, True))
    frame = pd.DataFrame({"country": pd.Series(["AN", "DE"], dtype="str")})
    rows = choose_golden_rows(frame, frame, contract, 2, seed=0)
    assert [row["country"] for row in rows[:2]] == ["AN", "ED"], "AN backwards would be NA"
    assert parse_rows(contract, rows) == rows


def test_no_unseen_category_exists_when_training_has_all_choices() -> None:
    column = Column(name="c", kind="string", choices=("a", "b"))
    assert unseen_category(pd.Series(["a", "b"], dtype="str"), column) is None
