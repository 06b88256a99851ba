"""Texts that may have blanks around them are found by their first and last bytes."""

import pyarrow as pa
import pytest

from skline.contract.blanks import may_have_blanks
from skline.contract.notation import WHITESPACE


@pytest.mark.parametrize("blank", sorted(WHITESPACE), ids=lambda char: f"U+{ord(char):04X}")
@pytest.mark.parametrize("text", ["{}a", "a{}", "{}", "a b{}"])
def test_every_blank_is_found_at_both_ends(blank: str, text: str) -> None:
    assert may_have_blanks(pa.array(["visible", text.format(blank), None]))


def test_texts_without_blanks_around_them_need_no_trimming() -> None:
    assert not may_have_blanks(pa.array(["a", "a b", "", None, "42"]))
    assert not may_have_blanks(pa.array([], pa.string()))
    assert not may_have_blanks(pa.array([1, 2]))


def test_a_slice_is_judged_by_its_own_texts() -> None:
    cells = pa.array([" a", "b", "c"])
    assert may_have_blanks(cells)
    assert not may_have_blanks(cells[1:])


def test_chunks_and_dictionaries_are_looked_into() -> None:
    assert may_have_blanks(pa.chunked_array([["a"], ["b "]]))
    assert may_have_blanks(pa.array(["a ", "a "]).dictionary_encode())
