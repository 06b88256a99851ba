"""Any column name can be declared, formatted and read back."""

import keyword

from hypothesis import example, given, settings
from hypothesis import strategies as st

from skline.contract.derive import derive_module
from skline.contract.table import Table
from skline.init.contract_source import contract_source, literal
from skline.init.guess import Guess
from skline.init.names import attributes
from skline.init.trial import imported

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=2, unique=True)
AWKWARD = st.sampled_from(
    [*keyword.kwlist, *dir(Table), *dir(type(Table)), "int", "str", "dt", "column", "id", "json", "1", "a b"]
)


@given(st.lists(st.text(max_size=10) | AWKWARD, unique=True, max_size=12))
@example(["mro", "MRO"])
def test_attributes_are_identifiers_each_only_once(names: list[str]) -> None:
    given_names = attributes(names)
    assert list(given_names) == names
    assert len(set(given_names.values())) == len(names)
    for attribute in given_names.values():
        assert attribute.isidentifier()
        assert not keyword.iskeyword(attribute)
        assert not hasattr(Table, attribute)
        assert not attribute.startswith("_")


@given(st.text())
def test_a_literal_is_the_text_it_stands_for(text: str) -> None:
    assert eval(literal(text)) == text  # noqa: S307


@settings(max_examples=25)
@given(NAMES)
@example(["a\x00b\x1b", "c"])
def test_the_contract_has_the_columns_names_as_they_are(names: list[str]) -> None:
    import pandas as pd

    guesses = [Guess(name, "integer", pd.Series([1, 2, 3]), ["whole numbers"]) for name in names]
    guesses[0].part = "target"
    with imported(contract_source(guesses, guesses[0], None, "t.csv")) as declared:
        contract = derive_module(declared)
    assert contract.input_names == names[1:]
    assert contract.target.name == names[0]
