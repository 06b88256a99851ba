"""Read one value: it means the same in a table, a request and a label, or is rejected by all of them.

Spellings that keep the value are accepted: 1400.0 for the integer 1400, "yes" for true, midnight for a date. What would
lose something is rejected: 1400.5 for an integer, a float of 2^53 or more for an integer, a time of day for a date.
`skline.contract.cells` reads whole columns by the same rules, faster.
"""

import datetime as dt
import decimal
import math
import re
from collections.abc import Callable
from functools import lru_cache

from skline.contract.notation import (
    DURATIONS,
    MINUS,
    SIGN,
    WHITESPACE,
    allows_plain,
    boolean_words,
    parse_number_notation,
    plain_number,
)
from skline.contract.spec import LARGEST_INTEGER, CellFormat, Kind, Value

#: Texts in lower case that mean true or false in every column of booleans.
BOOLEAN_WORDS = {"true": True, "t": True, "yes": True, "y": True, "1": True, "1.0": True} | {
    "false": False, "f": False, "no": False, "n": False, "0": False, "0.0": False,
}  # fmt: skip
EXPECTED: dict[Kind, str] = {
    "integer": "a whole number within ±2^53",
    "number": "a finite number",
    "boolean": "true or false (as text also yes/no, y/n, t/f, 1/0)",
    "string": "text",
    "date": "a date written as YYYY-MM-DD",
    "datetime": "a datetime in ISO 8601, such as 2026-01-31T14:05:00Z",
}
#: Shows how a date or a datetime is written in a format.
EXAMPLE = dt.datetime(2026, 1, 31, 14, 5, tzinfo=dt.UTC)
PLAIN_INTEGER = re.compile(f"{SIGN}?[0-9]+")
PLAIN_NUMBER = re.compile(rf"{SIGN}?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]{SIGN}?[0-9]+)?")
#: The common form of a datetime, which the standard library reads fastest.
DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
#: ISO 8601, and what PostgreSQL, BigQuery, .NET and other programs write instead: a blank, slashes, offsets in hours.
ISO = re.compile(
    r"(?P<day>\d{4}(?:-\d\d-|/\d\d/)\d\d)"
    r"(?:[Tt ](?P<hour>[01]\d|2[0-3])(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
    r"(?: ?(?P<zone>[Zz]|UTC|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII,
)
#: Longer texts are not converted to integers: Python raises from 4,301 digits on.
MAX_DIGITS = 400

#: Reads a value; raises Unreadable if it is not of the kind.
Reader = Callable[[object], Value]


class Unreadable(ValueError):
    """A value is not of the column's kind; the message says what is expected."""


def expected(cells: CellFormat) -> str:
    """Describe what a column expects: "a whole number within ±2^53"."""
    plain, notation = EXPECTED[cells.kind], cells.notation
    if notation is None:
        return plain
    if cells.kind == "integer" and notation not in DURATIONS:
        return f"{plain}, plain or as text like {_whole_sample(notation)!r}"
    if cells.kind == "number" and notation not in DURATIONS:
        return f"{plain}, plain or as text like {notation!r}{_meaning_of_point(notation)}"
    if cells.kind in ("date", "datetime"):
        return f"{plain}, or in the format {notation}, such as {EXAMPLE.strftime(notation)}"
    return f"{plain}, or text in the form {notation}"


def _whole_sample(notation: str) -> str:
    """Return the sample of a notation as a whole number, such as "1234,0" of "1234,5"."""
    sign = re.escape(parse_number_notation(notation).decimal)
    return re.sub(rf"(?<={sign})[0-9]+", "0", notation)


def _meaning_of_point(notation: str) -> str:
    """Say what a point before three digits means in text where the decimal sign is another one."""
    spec = parse_number_notation(notation)
    if spec.decimal == ".":
        return ""
    if spec.thousands == ".":
        return "; the text '1.234' means 1234"
    return f"; write '1.234' as '1{spec.decimal}234', because as text it could mean 1234"


@lru_cache(maxsize=4096)
def make_reader(cells: CellFormat) -> Reader:
    """Return the function that reads a value as one of a column; None is a missing value, and so is NaN."""
    read = _READERS[cells.kind](cells.notation)
    missing, trim = cells.missing, cells.trim or cells.kind != "string"

    def reader(value: object) -> Value:
        if isinstance(value, str):
            text = value.strip(WHITESPACE) if trim else value
            if text in missing:
                return None
            result = read(text)
        elif value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        else:
            result = read(value)
        if result is None:
            raise Unreadable(f"Input should be {expected(cells)}")
        return result

    return reader


def _integer_reader(notation: str | None) -> Reader:
    def read(value: object) -> Value:
        if isinstance(value, str):
            return _integer_of_text(_plain_text(value, notation))
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return value if abs(value) <= LARGEST_INTEGER else None
        if isinstance(value, float | decimal.Decimal) and math.isfinite(value) and value == int(value):
            return int(value) if abs(int(value)) < LARGEST_INTEGER else None
        return None

    return read


def _plain_text(text: str, notation: str | None) -> str | None:
    """Rewrite a number of a notation plainly; a plain one without another meaning stays; None for other texts."""
    if notation is None:
        return text
    plain = plain_number(text, notation)
    return text if plain is None and allows_plain(text, notation) else plain


def _integer_of_text(text: str | None) -> int | None:
    """Read plain digits, or a number with a fraction of zeros or an exponent; from 2^53 on these may be rounded."""
    if text is None or len(text) > MAX_DIGITS:
        return None
    if PLAIN_INTEGER.fullmatch(text):
        whole = int(text.replace(MINUS, "-"))
        return whole if abs(whole) <= LARGEST_INTEGER else None
    number = _number_of_text(text)
    if number is None or abs(number) >= LARGEST_INTEGER:
        return None
    try:
        return int(number) if decimal.Decimal(text.replace(MINUS, "-")) == int(number) else None
    except decimal.DecimalException:
        return None


def _number_reader(notation: str | None) -> Reader:
    def read(value: object) -> Value:
        if isinstance(value, str):
            return _number_of_text(_plain_text(value, notation))
        if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
            return None
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None

    return read


def _number_of_text(text: str | None) -> float | None:
    """Read a decimal number, with an exponent or without; None if it is too large for a float."""
    if text is None or not PLAIN_NUMBER.fullmatch(text):
        return None
    number = float(text.replace(MINUS, "-"))
    return number if math.isfinite(number) else None


def _boolean_reader(notation: str | None) -> Reader:
    words = BOOLEAN_WORDS | ({} if notation is None else boolean_words(notation))

    def read(value: object) -> Value:
        if isinstance(value, str):
            return words.get(value.lower())
        if isinstance(value, bool | int | float | decimal.Decimal) and value in (0, 1):
            return bool(value)
        return None

    return read


def _read_string(value: object) -> Value:
    return value if isinstance(value, str) else None


def _date_reader(notation: str | None) -> Reader:
    def read(value: object) -> Value:
        if isinstance(value, str):
            value = _exact_moment(value) or _in_notation(value, notation)
        if isinstance(value, dt.datetime):
            moment = _utc(value)
            return None if moment is None else _day_of(moment)
        return value if isinstance(value, dt.date) else None

    return read


def _datetime_reader(notation: str | None) -> Reader:
    def read(value: object) -> Value:
        if isinstance(value, str):
            return iso_moment(value) or _in_notation(value, notation)
        if isinstance(value, dt.datetime):
            moment = _utc(value)
            return None if moment is None else dt.datetime.combine(moment.date(), moment.time())
        return dt.datetime.combine(value, dt.time()) if isinstance(value, dt.date) else None

    return read


def _day_of(moment: dt.datetime) -> dt.date | None:
    """Return the date of a midnight; None at another time, also by the nanoseconds of pandas' Timestamp."""
    day = moment.date()
    return day if moment == dt.datetime.combine(day, dt.time()) else None


def _exact_moment(text: str) -> dt.datetime | None:
    """Read ISO 8601; None also if its fraction of a second would be truncated to zero."""
    match = ISO.fullmatch(text)
    return None if match is None or (match["fraction"] or "").strip("0") else iso_moment(text)


def iso_moment(text: str) -> dt.datetime | None:
    """Read ISO 8601 as naive UTC, None if it is anything else; a fraction is truncated to microseconds.

    The offset may be written as Z, UTC, +02, +0200 or +02:00, also after a blank; without one the time is in UTC. A day
    may be written 2026/01/31; without a time it is its midnight.
    """
    if DATETIME.fullmatch(text):
        try:
            return _utc(dt.datetime.fromisoformat(text))
        except ValueError:
            return None
    match = ISO.fullmatch(text)
    if match is None:
        return None
    day, parts = match["day"].replace("/", "-"), [match[unit] or "00" for unit in ("hour", "minute", "second")]
    fraction = (match["fraction"] or "0")[:6].ljust(6, "0")
    try:
        return _utc(dt.datetime.fromisoformat(f"{day}T{':'.join(parts)}.{fraction}{_offset(match['zone'])}"))
    except ValueError:
        return None


def _offset(zone: str | None) -> str:
    """Write an offset from UTC as +HH:MM."""
    if zone is None or zone in ("Z", "z", "UTC"):
        return "+00:00"
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return f"{zone[0]}{digits[:2]}:{digits[2:]}"


def _utc(moment: dt.datetime) -> dt.datetime | None:
    """Convert to naive UTC; None beyond the years 1 to 9999."""
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (OverflowError, ValueError):  # the latter of pandas' Timestamp
        return None


def _in_notation(text: str, notation: str | None) -> dt.datetime | None:
    """Read a date of a strptime format as naive UTC; None if it is not written so."""
    if notation is None:
        return None
    try:
        return _utc(dt.datetime.strptime(text, notation))  # noqa: DTZ007 without an offset the time is in UTC
    except ValueError:
        return None


_READERS: dict[Kind, Callable[[str | None], Reader]] = {
    "integer": _integer_reader,
    "number": _number_reader,
    "boolean": _boolean_reader,
    "string": lambda _: _read_string,
    "date": _date_reader,
    "datetime": _datetime_reader,
}
