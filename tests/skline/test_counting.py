"""The noun beside a number is in the singular only for one."""

import pytest

from skline.counting import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1234, "1,234 rows")], ids=str
)
def test_noun_agrees_with_the_number(number: int, text: str) -> None:
    assert counted(number, "row") == text


def test_irregular_plural_is_given() -> None:
    assert [counted(number, "entity", "entities") for number in (1, 2)] == ["1 entity", "2 entities"]
