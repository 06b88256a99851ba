"""A regular expression for the dates of a period, for JSON Schema, which has no other bounds for dates."""

import datetime as dt

DIGIT = "[0-9]"


def date_pattern(first: dt.date | None, last: dt.date | None) -> str:
    """Return a pattern for texts written YYYY-MM-DD from `first` to `last`, both inclusive; None is no bound.

    It compares texts only: whether a day exists is left to the format `date` of JSON Schema.
    """
    lower = "0000-00-00" if first is None else first.isoformat()
    upper = "9999-99-99" if last is None else last.isoformat()
    return f"^(?:{_between(lower, upper)})$"


def _between(lower: str, upper: str) -> str:
    """Return a pattern for texts of the same form from `lower` to `upper`; digits vary, other characters are fixed."""
    if lower == upper:
        return lower
    low, high, rest = lower[0], upper[0], len(lower) - 1
    if low == high:
        return low + _group(_between(lower[1:], upper[1:]))
    if not rest:
        return _digits(int(low), int(high))
    tail_low, tail_high = _filled(lower[1:], "0"), _filled(lower[1:], "9")
    start, end, parts = int(low), int(high), []
    if lower[1:] != tail_low:
        parts.append(low + _group(_between(lower[1:], tail_high)))
        start += 1
    closing = ""
    if upper[1:] != tail_high:
        closing = high + _group(_between(tail_low, upper[1:]))
        end -= 1
    if start <= end:
        parts.append(_digits(start, end) + _any(lower[1:]))
    return "|".join([*parts, closing] if closing else parts)


def _filled(text: str, digit: str) -> str:
    return "".join(digit if character.isdigit() else character for character in text)


def _any(text: str) -> str:
    return "".join(DIGIT if character.isdigit() else character for character in text)


def _digits(start: int, end: int) -> str:
    if (start, end) == (0, 9):
        return DIGIT
    return str(start) if start == end else f"[{start}-{end}]"


def _group(pattern: str) -> str:
    return f"(?:{pattern})" if "|" in pattern else pattern
