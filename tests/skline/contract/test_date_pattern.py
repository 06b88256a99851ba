"""The pattern of a period matches its days, and no other ones."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skline.contract.date_pattern import date_pattern


@given(st.dates(), st.dates(), st.dates())
def test_matches_a_day_if_it_is_within_the_bounds(first: dt.date, day: dt.date, last: dt.date) -> None:
    for lower, upper in ((first, max(first, last)), (first, None), (None, last), (None, None)):
        inside = (lower is None or lower <= day) and (upper is None or day <= upper)
        assert bool(re.search(date_pattern(lower, upper), day.isoformat())) == inside


@given(st.dates(dt.date(2013, 1, 1), dt.date(2013, 12, 31)), st.integers(-400, 400))
def test_bounds_are_exact_to_the_day(day: dt.date, days: int) -> None:
    other = day + dt.timedelta(days)
    assert bool(re.search(date_pattern(day, None), other.isoformat())) == (other >= day)
    assert bool(re.search(date_pattern(None, day), other.isoformat())) == (other <= day)


@pytest.mark.parametrize("text", ["2013-01-01x", "x2013-01-01", "2013-1-1", "2013/01/01", "20130101", ""])
def test_matches_nothing_of_another_form(text: str) -> None:
    assert not re.search(date_pattern(dt.date(2013, 1, 1), None), text)


def test_is_short_for_a_round_bound() -> None:
    assert date_pattern(dt.date(2013, 1, 1), None).count("|") < 12
