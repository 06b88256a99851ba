"""How a column's text is written where that is not plain, told by an example: "1.234,56 €", "%d.%m.%Y", "ja/nein".

The notation stands in the contract (`column(..., written=...)`), so that every reader of text (ingest, batch
scoring) reads alike. Requests are JSON and know no notations: there a number is a number.
"""

import re
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Kind
from skline.errors import SklineError

#: What may separate thousands; the decimal sign is one of the first two.
SEPARATORS = ",. '\u2019_\u00a0\u202f"
SAMPLE = re.compile(rf"([^\d+-]*)(\d[\d{SEPARATORS}]*\d|\d)(\D*)")


class Notation(NamedTuple):
    """How numbers are written: signs between the digits, and text around them."""

    decimal: str
    thousands: str
    before: str
    after: str


def notation(sample: str) -> Notation:
    """Read a notation out of a sample: "$1,234.5", "1.234,5", "1 234", "0,5", "12 %".

    With two separators the last is the decimal sign; one alone is it unless three digits follow, as in "1,234".

    Raises
    ------
    SklineError
        If the sample is no number.
    """
    found = SAMPLE.fullmatch(sample.strip())
    signs = re.findall(r"\D", found[2]) if found else []
    kinds = list(dict.fromkeys(signs))
    if not found or len(kinds) > 2:
        raise SklineError(f"written={sample!r} shows no number; write one such as '1.234,56' or '$1,234.56'")
    thousands, decimal = "", "."
    if len(kinds) == 2:
        thousands, decimal = kinds
    elif kinds and (len(signs) > 1 or kinds[0] not in ",." or re.search(r"\D\d{3}$", found[2])):
        thousands = kinds[0]
        decimal = "," if thousands == "." else "."
    elif kinds:
        decimal = kinds[0]
    return Notation(decimal, thousands, found[1].strip(), found[3].strip())


def check(written: str, kind: Kind) -> None:
    """Raise SklineError if `written` is no notation of this kind."""
    match kind:
        case "integer" | "number":
            notation(written)
        case "boolean" if len({word.strip().lower() for word in written.split("/")} - {""}) != 2:
            raise SklineError(f"written={written!r} must be the words for true and false, such as 'ja/nein'")
        case "date" | "datetime" if "%" not in written:
            raise SklineError(f"written={written!r} must be a format of strptime, such as '%d.%m.%Y'")
        case "string":
            raise SklineError(f"written={written!r} belongs to numbers, booleans and dates; a string is as it is")


def plain_numbers(cells: pa.Array, sample: str) -> pa.Array:
    """Rewrite numbers of a notation as plain ones, -1234.5; what is not written so becomes null."""
    how = notation(sample)
    gap = "[ \u00a0\u202f]?"
    blanks = " \u00a0\u202f"
    thousands = f"[{blanks}]" if how.thousands in blanks and how.thousands else re.escape(how.thousands)
    whole = rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+|\d+)" if how.thousands else r"\d+"
    before = f"(?:{re.escape(how.before)}{gap})?" if how.before else ""
    after = f"(?:{gap}{re.escape(how.after)})?" if how.after else ""
    number = rf"(?P<number>{whole}(?:{re.escape(how.decimal)}\d*)?|{re.escape(how.decimal)}\d+)"
    text = pc.utf8_trim_whitespace(cells)
    parts = pc.extract_regex(text, rf"^(?P<sign>[+-]?){gap}{before}(?P<inner>[+-]?){number}{after}$")
    digits = parts.field("number")
    if how.thousands:
        digits = pc.replace_substring_regex(digits, thousands, "")
    digits = pc.replace_substring(digits, how.decimal, ".")
    signs = pc.binary_join_element_wise(parts.field("sign"), parts.field("inner"), "")
    negative = pc.if_else(pc.match_substring(signs, "-"), "-", "")
    plain = pc.binary_join_element_wise(negative, digits, "")
    return pc.if_else(parts.is_valid(), plain, None)


def plain_booleans(cells: pa.Array, written: str) -> pa.Array:
    """Read the words for true and false."""
    yes, no = (word.strip().lower() for word in written.split("/"))
    text = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    return pc.if_else(pc.equal(text, yes), True, pc.if_else(pc.equal(text, no), False, pa.scalar(None, pa.bool_())))


def plain_dates(cells: pa.Array, written: str) -> pa.Array:
    """Read dates of a strptime format, as timestamps in UTC; what is not written so becomes null."""
    import pandas as pd

    encoded = cells.dictionary_encode()
    distinct: Any = [None if text is None else text.strip() for text in encoded.dictionary.to_pylist()]
    stamps = pd.to_datetime(pd.Series(distinct, dtype="str"), format=written, errors="coerce", utc=True)
    naive = stamps.dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
    typed = pa.array(naive, type=pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return typed.take(encoded.indices)
