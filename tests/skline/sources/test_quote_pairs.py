"""Tests of the quotes of a file: those of a valid one are pairs, and one that is not closed is found."""

import csv
import io
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.sources.quote_pairs import QuotePairs


def is_broken(content: str, chunk: int = 1 << 20, delimiter: str = ",") -> bool:
    pairs, data = QuotePairs(delimiter), content.encode()
    for start in range(0, len(data), chunk):
        pairs.add(data[start : start + chunk])
    pairs.end()
    return pairs.broken


@given(
    rows=st.lists(st.lists(st.text('",;\n\rab ', max_size=6), min_size=2, max_size=2), max_size=12),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    delimiter=st.sampled_from(",;\t"),
    chunk=st.integers(1, 7),
)
def test_quotes_of_a_valid_file_are_pairs(
    rows: list[list[str]], quoting: Literal[0, 1, 2], delimiter: str, chunk: int
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=quoting).writerows(rows)
    assert not is_broken(file.getvalue(), chunk, delimiter)


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize("content", ['1,"red,"3,4",no\n', '1,"red\n2,"blue"\n', '1,"red', '1,"red\n', '"red,x\n'])
def test_a_quote_that_is_not_closed_before_the_next_one_is_found(content: str, chunk: int) -> None:
    assert is_broken('age,colour\n"5","x, y"\n' + content, chunk)


@pytest.mark.parametrize("content", ["5' 6\" tall,1\n", '6",1\n', '"5"" pipe","a\nb"\n', '"",""\n'])
def test_quotes_inside_cells_and_empty_cells_are_no_open_ones(content: str) -> None:
    assert not is_broken("size,n\n" + content * 3)
