"""A pattern without some words matches what it matched before, except for these words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, ValidationError, core_schema

from skline.contract.patterns import of_all_but, without_words

WORDS = ["", "NA", "N/A", "nan", "NaN", "N A"]


@pytest.mark.parametrize("pattern", ["[A-Z0-9]{2}", "[A-Za-z]{3}", "[A-Z]", "[MN][A-Z]"])
@given(data=st.data())
def test_only_the_words_are_taken_out(pattern: str, data: st.DataObject) -> None:
    narrower = without_words(pattern, WORDS)
    assert narrower is not None
    text = data.draw(st.from_regex(pattern, fullmatch=True) | st.sampled_from(WORDS) | st.text("NAa n1", max_size=3))
    expected = re.fullmatch(pattern, text) is not None and text not in WORDS
    assert (re.fullmatch(narrower, text) is not None) == expected


@pytest.mark.parametrize("pattern", ["[A-Z]+", "[A-Z]{1,3}", r"\d\d", "NA", "N[A-Z]", "[A-Z]?x"])
def test_other_patterns_are_left_to_a_search(pattern: str) -> None:
    assert without_words(pattern, WORDS) is None


TEXTS = st.text("NAn/é.-\n \u2212", max_size=5) | st.text(max_size=3)


@given(st.sets(TEXTS, max_size=12), st.data())
def test_the_pattern_of_all_but_is_found_in_every_text_but_the_words(words: set[str], data: st.DataObject) -> None:
    text = data.draw(TEXTS | st.sampled_from([*words, ""]) | st.sampled_from([*words, ""]).map(lambda word: word + "x"))
    validator = SchemaValidator(core_schema.str_schema(pattern=of_all_but(words)))
    try:
        assert validator.validate_python(text) == text
    except ValidationError:
        assert text in words
    else:
        assert text not in words
