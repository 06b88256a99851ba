"""The notation of a text column that is not plain, given by an example: "1.234,56 €", "%d.%m.%Y", "ja/nein".

A unit is part of the example ("1,234 kg"); durations, which become seconds, are "HH:MM:SS" or "HH:MM".

The contract holds it (`column(..., notation=...)`), so that text is read alike in tables, requests and labels.
"""

import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from skline.contract.spec import Kind
from skline.errors import SklineError

if TYPE_CHECKING:
    import pyarrow as pa

#: What may separate thousands; the decimal sign is one of the first two.
SEPARATORS = ",. '\u2019_\u00a0\u202f"
#: What Unicode calls White_Space: Python, Rust and Arrow have sets of their own, which differ in control characters.
WHITESPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
#: What is removed around names of columns: blanks, and a byte order mark or a space that has no width.
NAME_PADDING = WHITESPACE + "\ufeff\u200b"
#: A line break within a name, with the blanks around it, is read as one blank.
LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
#: The minus sign of Unicode, which is read as the hyphen of ASCII is, and the signs of numbers.
MINUS = "\u2212"
SIGN = f"[+{MINUS}-]"
#: Notation of durations → the pattern of its cells; hours may have any number of digits.
DURATIONS: dict[str, str] = {
    "HH:MM:SS": rf"^(?P<sign>[{MINUS}-]?)(?P<hours>[0-9]+):(?P<minutes>[0-5]?[0-9]):(?P<seconds>[0-5][0-9])"
    r"(?P<fraction>\.[0-9]+)?$",
    "HH:MM": rf"^(?P<sign>[{MINUS}-]?)(?P<hours>[0-9]+):(?P<minutes>[0-5][0-9])$",
}
#: With more digits of hours, the number of seconds would be no exact integer.
MAX_HOUR_DIGITS = 9
#: A plain number whose point could also part thousands; a group of thousands never begins with 0.
AMBIGUOUS_NUMBER = rf"^{SIGN}?[1-9][0-9]{{0,2}}\.[0-9]{{3}}$"
SAMPLE = re.compile(rf"([^\d+-]*)(\d[\d{SEPARATORS}]*\d|\d)(\D*)")
#: Directives of date formats that pandas, which is faster, and Python read alike.
PANDAS_DIRECTIVES = set("YymdbBHMSp%I")
#: A date whose day and month differ, and are both valid as the other.
AMBIGUOUS_DATE = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


def trimmed_name(name: str) -> str:
    """Return a column's name without the blanks around it, and with a blank for each line break in it."""
    return LINE_BREAK.sub(" ", name.strip(NAME_PADDING))


class NumberNotation(NamedTuple):
    """Decimal sign, thousands separator, and the text before and after a number."""

    decimal: str
    thousands: str
    before: str
    after: str


def parse_number_notation(sample: str) -> NumberNotation:
    """Derive the notation of numbers from a sample: "$1,234.5", "1.234,5", "1 234", "0,5", "12 %".

    With two separators, the last one is the decimal sign. A single separator is the decimal sign unless exactly three
    digits follow it, as in "1,234".

    Raises
    ------
    SklineError
        If the sample is not a number, or has a sign.
    """
    match = SAMPLE.fullmatch(sample.strip())
    separators = re.findall(r"\D", match[2]) if match else []
    distinct = list(dict.fromkeys(separators))
    if not match or len(distinct) > 2:
        raise SklineError(
            f"notation={sample!r} is not a number without a sign; use one such as '1.234,56' or '$1,234.56'"
        )
    thousands, decimal = "", "."
    if len(distinct) == 2:
        thousands, decimal = distinct
    elif distinct and (len(separators) > 1 or distinct[0] not in ",." or re.search(r"\D\d{3}$", match[2])):
        thousands = distinct[0]
        decimal = "," if thousands == "." else "."
    elif distinct:
        decimal = distinct[0]
    return NumberNotation(decimal, thousands, match[1].strip(), match[3].strip())


def check_notation(notation: str, kind: Kind) -> None:
    """Raise SklineError if `notation` is not valid for this kind."""
    match kind:
        case "integer" | "number" if notation not in DURATIONS:
            _reject_contradictory_sample(notation)
        case "boolean" if not _are_two_words([word.strip().lower() for word in notation.split("/")]):
            raise SklineError(f"notation={notation!r} must be the words for true and false, such as 'ja/nein'")
        case "date" | "datetime" if "%" not in notation:
            raise SklineError(f"notation={notation!r} must be a format of strptime, such as '%d.%m.%Y'")
        case "date" | "datetime":
            _reject_ambiguous_format(notation)
        case "string":
            raise SklineError(f"notation={notation!r} is for numbers, booleans and dates; strings are read as they are")


def _reject_contradictory_sample(sample: str) -> None:
    """Raise SklineError if a sample of a number is not a number in the notation that is derived from it.

    In "0.125 kg" the point before three digits separates thousands, but no group of thousands begins with 0.
    """
    spec = parse_number_notation(sample)
    if spec.decimal not in ",." or plain_number(sample.strip(), sample) is None:
        raise SklineError(
            f"notation={sample!r} shows the decimal sign {spec.decimal!r} and the thousands separator "
            f"{spec.thousands!r}, and is not a number written so; use one such as '1.234,5' or '1,234.5', with the unit"
        )


def _are_two_words(words: list[str]) -> bool:
    return len(words) == 2 and all(words) and words[0] != words[1]


def _reject_ambiguous_format(notation: str) -> None:
    """Raise SklineError if a date in ISO 8601, which is always accepted, means another day in this format."""
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S"):
        text = AMBIGUOUS_DATE.strftime(form)
        try:
            read = dt.datetime.strptime(text, notation)  # noqa: DTZ007 only its day matters
        except ValueError:
            continue
        if read.date() != AMBIGUOUS_DATE.date():
            raise SklineError(
                f"notation={notation!r} reads {text} as {read:%d %B %Y}, but ISO 8601 as {AMBIGUOUS_DATE:%d %B %Y}; "
                "read the column as text in src/model/source.py, and convert it there"
            )


@lru_cache(maxsize=256)
def number_pattern(sample: str) -> str:
    """Return the regular expression of a notation's numbers, which Arrow and Python understand alike.

    Its groups are `sign`, `inner` (a sign after a currency) and `number`. A group of thousands never begins with 0:
    0.455 is a fraction, and never 455.
    """
    spec = parse_number_notation(sample)
    gap = "[ \u00a0\u202f]?"
    before = f"(?:{re.escape(spec.before)}{gap})?" if spec.before else ""
    after = f"(?:{gap}{re.escape(spec.after)})?" if spec.after else ""
    number = f"(?P<number>{unsigned_pattern(spec.decimal, spec.thousands)})"
    return f"^(?P<sign>{SIGN}?){gap}{before}(?P<inner>{SIGN}?){number}{after}$"


def unsigned_pattern(decimal: str, thousands: str) -> str:
    """Return the regular expression of a number without a sign; `thousands` may be empty."""
    point, whole = re.escape(decimal), "[0-9]+"
    if thousands:
        whole = f"(?:{_grouped_pattern(_thousands_pattern(thousands))}|{whole})"
    return f"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)"


def _grouped_pattern(separator: str) -> str:
    """Return the regular expression of whole numbers in groups; with commas also in those of India: 1,23,456."""
    thousands = rf"[1-9][0-9]{{0,2}}(?:{separator}[0-9]{{3}})+"
    return rf"{thousands}|[1-9][0-9]?(?:,[0-9]{{2}})+,[0-9]{{3}}" if separator == "," else thousands


def _thousands_pattern(thousands: str) -> str:
    """Return the regular expression of what separates thousands; a blank stands for any kind of blank."""
    blanks = " \u00a0\u202f"
    return f"[{blanks}]" if thousands and thousands in blanks else re.escape(thousands)


def plain_numbers(cells: "pa.Array", sample: str) -> "pa.Array":
    """Rewrite numbers of a notation as plain numbers such as -1234.5; other cells become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = pc.utf8_trim(cells.cast(pa.string()), characters=WHITESPACE)
    if sample in DURATIONS:
        return plain_durations(cells, sample)
    spec = parse_number_notation(sample)
    parts = pc.extract_regex(cells, number_pattern(sample))
    digits = parts.field("number")
    if spec.thousands:
        digits = pc.replace_substring_regex(digits, _thousands_pattern(spec.thousands), "")
    digits = pc.replace_substring(digits, spec.decimal, ".")
    signs = pc.binary_join_element_wise(parts.field("sign"), parts.field("inner"), "")
    plain = pc.binary_join_element_wise(_plain_signs(signs), digits, "")
    return pc.if_else(parts.is_valid(), plain, None)


def as_plain_numbers(cells: "pa.Array", sample: str) -> "pa.Array":
    """Rewrite numbers of a notation plainly, so that every notation reads them alike; other cells stay.

    A number that could be taken for thousands gets one more zero: 1,234 becomes 1.2340.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = plain_numbers(cells, sample)
    is_ambiguous = pc.match_substring_regex(plain, AMBIGUOUS_NUMBER)
    plain = pc.if_else(is_ambiguous, pc.binary_join_element_wise(plain, "0", ""), plain)
    return pc.if_else(plain.is_valid(), plain, cells.cast(pa.string()))


def _plain_signs(signs: "pa.Array") -> "pa.Array":
    """Return a minus for each text that holds one, else an empty text."""
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(signs, f"[{MINUS}-]"), "-", "")


def plain_durations(cells: "pa.Array", notation: str) -> "pa.Array":
    """Rewrite durations as their number of seconds; other cells become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(cells, DURATIONS[notation])
    minutes = pc.add(pc.multiply(_as_integers(parts.field("hours")), 60), _as_integers(parts.field("minutes")))
    seconds, fraction = pc.multiply(minutes, 60), pa.scalar("")
    if notation == "HH:MM:SS":
        seconds, fraction = pc.add(seconds, _as_integers(parts.field("seconds"))), parts.field("fraction")
    plain = pc.binary_join_element_wise(_plain_signs(parts.field("sign")), seconds.cast(pa.string()), fraction, "")
    return pc.if_else(parts.is_valid(), plain, None)


def plain_duration(text: str, notation: str) -> str | None:
    """Rewrite one duration as its number of seconds; None if it is not written so."""
    match = re.fullmatch(DURATIONS[notation], text)
    if match is None or len(match["hours"]) > MAX_HOUR_DIGITS:
        return None
    parts = match.groupdict(default="")
    seconds = (int(parts["hours"]) * 60 + int(parts["minutes"])) * 60 + int(parts.get("seconds", 0))
    return f"{'-' if parts['sign'] else ''}{seconds}{parts.get('fraction', '')}"


def _as_integers(digits: "pa.Array") -> "pa.Array":
    """Convert digits to int64; more than MAX_HOUR_DIGITS become null, and so does the empty text where none match."""
    import pyarrow as pa
    import pyarrow.compute as pc

    length = pc.utf8_length(digits)
    fits = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_HOUR_DIGITS))
    return pc.if_else(fits, digits, None).cast(pa.int64())


def plain_number(text: str, sample: str) -> str | None:
    """Rewrite one number of a notation as a plain number; None if it is not written so."""
    if sample in DURATIONS:
        return plain_duration(text, sample)
    match = re.fullmatch(number_pattern(sample), text)
    if match is None:
        return None
    spec = parse_number_notation(sample)
    digits = re.sub(_thousands_pattern(spec.thousands), "", match["number"]) if spec.thousands else match["number"]
    is_negative = not {"-", MINUS}.isdisjoint(match["sign"] + match["inner"])
    return ("-" if is_negative else "") + digits.replace(spec.decimal, ".")


def allows_plain(text: str, sample: str) -> bool:
    """Whether a plain number has one meaning only in a column that has a notation.

    Where the decimal sign is a comma, 1234.5 can only be plain, and 1.234 could be a thousand. Durations are never
    plain: 8 could be hours or seconds.
    """
    if sample in DURATIONS:
        return False
    return parse_number_notation(sample).decimal == "." or re.fullmatch(AMBIGUOUS_NUMBER, text) is None


def boolean_words(notation: str) -> dict[str, bool]:
    """Return the meaning of the two words of a notation, in lower case."""
    yes, no = (word.strip().lower() for word in notation.split("/"))
    return {yes: True, no: False}


def plain_dates(cells: "pa.Array", notation: str) -> "pa.Array":
    """Read dates of a strptime format as timestamp[us, UTC]; other cells become null."""
    import pyarrow as pa

    encoded = cells.dictionary_encode()
    if not set(re.findall("%(.)", notation)) <= PANDAS_DIRECTIVES:
        return pa.nulls(len(cells), pa.timestamp("us", tz="UTC"))
    import pandas as pd

    distinct: Any = [None if text is None else text.strip(WHITESPACE) for text in encoded.dictionary.to_pylist()]
    stamps = pd.to_datetime(pd.Series(distinct, dtype="str"), format=notation, errors="coerce", utc=True)
    naive = stamps.dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
    typed = pa.array(naive, type=pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return typed.take(encoded.indices)
