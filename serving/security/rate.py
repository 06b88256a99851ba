"""How a rate is written; apart from `limits`, whose import takes a tenth of the start, and which only Redis needs."""

import re
from typing import NamedTuple

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_WRITTEN = re.compile(
    rf"\s*(\d{{1,12}})\s*(?:/|per)\s*(\d{{1,6}})?\s*({'|'.join(UNITS)})s?\s*", re.IGNORECASE | re.ASCII
)


class Rate(NamedTuple):
    """So many requests in so many seconds."""

    amount: int
    seconds: int


def parse(text: str) -> Rate:
    """Read a rate, written as `limits` reads one: 100/second, 6000/minute, 100 per 5 minutes.

    Raises
    ------
    ValueError
        If it is written otherwise, or one of its numbers is 0.
    """
    found = _WRITTEN.fullmatch(text)
    rate = found and Rate(int(found[1]), int(found[2] or 1) * UNITS[found[3].lower()])
    if not rate or 0 in rate:
        raise ValueError("write a rate as 100/second, 6000/minute or 100 per 5 minutes")
    return rate
