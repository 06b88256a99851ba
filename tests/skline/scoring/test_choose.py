"""Golden rows show what a pipeline can meet: the example, real rows, missing values, unseen categories."""

import re

import pandas as pd
import pytest

from skline.contract.spec import Column
from skline.scoring.choose import golden_rows, unseen_category
from tests import demo


def test_golden_rows_are_the_example_edges_and_drawn_rows() -> None:
    train, validation = demo.parts()["train"], demo.parts()["validation"]
    rows = golden_rows(train, validation, demo.contract(), 10, seed=1)
    assert rows[0] == {column.name: column.example for column in demo.contract().inputs}
    assert any(row["distance"] is None for row in rows)
    assert any(row["carrier"] not in set(train["carrier"]) for row in rows)
    assert rows == golden_rows(train, validation, demo.contract(), 10, seed=1)
    assert rows != golden_rows(train, validation, demo.contract(), 10, seed=2)


@pytest.mark.parametrize(
    ("rules", "seen"),
    [
        ({}, ["a", "b"]),
        ({"pattern": "[A-Z]{2}"}, ["AB", "CD"]),
        ({"max_length": 3}, ["abc", "xyz"]),
        ({"choices": ("a", "b", "c")}, ["a", "b"]),
    ],
)
def test_an_unseen_category_is_allowed_and_unseen(rules: dict[str, object], seen: list[str]) -> None:
    column = Column.model_validate({"name": "c", "kind": "string"} | rules)
    found = unseen_category(pd.Series(seen, dtype="str"), column)
    assert found is not None
    assert found not in seen
    assert column.pattern is None or re.fullmatch(column.pattern, found)
    assert column.max_length is None or len(found) <= column.max_length
    assert column.choices is None or found in column.choices


def test_no_unseen_category_is_made_up_where_the_set_is_closed_and_complete() -> None:
    column = Column(name="c", kind="string", choices=("a", "b"))
    assert unseen_category(pd.Series(["a", "b"], dtype="str"), column) is None
