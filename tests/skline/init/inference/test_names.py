"""Tests of names: any column name can be declared in a contract and read back."""

import keyword

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skline.contract.derive import derive_module
from skline.contract.table import Table
from skline.init.codegen.contract_source import literal, render_contract
from skline.init.dry_run import imported_source
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.names import attribute_names

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=2, unique=True)
RESERVED = st.sampled_from(
    [*keyword.kwlist, *dir(Table), *dir(type(Table)), "int", "str", "dt", "column", "id", "json", "1", "a b"]
)


@given(st.lists(st.text(max_size=10) | RESERVED, unique=True, max_size=12))
@example(["mro", "MRO"])
def test_attribute_names_are_unique_valid_identifiers(names: list[str]) -> None:
    attributes = attribute_names(names)
    assert list(attributes) == names
    assert len(set(attributes.values())) == len(names)
    for attribute in attributes.values():
        assert attribute.isidentifier()
        assert not keyword.iskeyword(attribute)
        assert not hasattr(Table, attribute)
        assert not attribute.startswith("_")


@given(st.text())
def test_literal_evaluates_to_its_text(text: str) -> None:
    assert eval(literal(text)) == text  # noqa: S307


@settings(max_examples=25)
@given(NAMES)
@example(["a\x00b\x1b", "c"])
def test_rendered_contract_keeps_column_names(names: list[str]) -> None:
    guesses = [ColumnGuess(name, "integer", pd.Series([1, 2, 3]), ["whole numbers"]) for name in names]
    guesses[0].role = "target"
    with imported_source(render_contract(guesses, guesses[0], None, "t.csv")) as module:
        contract = derive_module(module)
    assert contract.input_names == names[1:]
    assert contract.target.name == names[0]


@pytest.mark.parametrize(("name", "said"), [("Monatsbeitrag", True), ("monatsbeitrag", False)])
def test_contract_says_which_name_counts_where_attributes_have_others(name: str, said: bool) -> None:
    guesses = [ColumnGuess(each, "integer", pd.Series([1, 2, 3]), ["whole numbers"]) for each in ("y", name)]
    guesses[0].role = "target"
    assert ("The name of a column is its `alias`" in render_contract(guesses, guesses[0], None, "t.csv")) == said
