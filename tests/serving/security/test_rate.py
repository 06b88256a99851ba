"""A rate is read as the library reads it that counts in Redis."""

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.security.rate import UNITS, Rate, parse


@given(
    amount=st.integers(1, 10**9),
    sign=st.sampled_from(["/", " / ", " per ", " PER "]),
    multiple=st.one_of(st.just(""), st.integers(1, 1000).map(lambda number: f"{number} ")),
    unit=st.sampled_from([*UNITS, *(unit.upper() for unit in UNITS), *(f"{unit}s" for unit in UNITS)]),
)
def test_as_the_library_reads_it(amount: int, sign: str, multiple: str, unit: str) -> None:
    text = f"{amount}{sign}{multiple}{unit}"
    there = limits.parse(text)
    assert parse(text) == Rate(there.amount, there.get_expiry())


@pytest.mark.parametrize("text", ["", "5", "off", "fast", "-1/second", "0/second", "1/0 second", "1/second;5/minute"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="write a rate as 100/second"):
        parse(text)
