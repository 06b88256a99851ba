"""What a column holds: its kind, how it is written, and which words stand for a missing value."""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.cells import WORDS, is_text
from skline.contract.parse import parse_column
from skline.contract.spec import LARGEST_INTEGER, Kind
from skline.init.dates import find_date
from skline.init.names import tokens

#: Words that stand for "missing" among numbers and dates, and "?" and its like everywhere.
MISSING_WORDS = {
    "?", "-", "--", "---", ".", "..", "...", "*", "**", "#", "#n/a", "#na", "#value!", "#div/0!", "#null!",
    "<na>", "n.a.", "na",
    "nil", "none", "null", "nan", "missing", "unknown", "not available", "unk", "k.a.", "keine angabe", "undefined",
    "(null)", "\\n", "_", "—", "\u2013",
}  # fmt: skip
MISSING_SIGNS = {"?", "-", "--", "---", "#n/a", "#na", "<na>", "(null)", "\\n", "#null!"}
#: Words for true and false beside those that `skline.contract.parse` knows.
OTHER_WORDS = [
    ("ja", "nein"), ("j", "n"), ("oui", "non"), ("o", "n"), ("si", "no"), ("sí", "no"), ("sì", "no"), ("s", "n"),
    ("sim", "não"), ("sim", "nao"), ("vrai", "faux"), ("wahr", "falsch"), ("verdadero", "falso"), ("on", "off"),
    ("да", "нет"), ("tak", "nie"), ("ano", "ne"), ("x", "-"), ("是", "否"),
]  # fmt: skip
CURRENCY = "[$€£¥₹₽₩₺]|(?:US|A|C|NZ|HK|S)\\$|R\\$|USD|EUR|GBP|CHF|JPY|INR|AUD|CAD|CNY|RMB|kr|zł|Fr\\.?"
BLANK = "[ \u00a0\u202f]"
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
#: Decimal sign → how thousands may be parted beside it.
GROUPINGS = {
    ".": [",", " ", "\u00a0", "\u202f", "'", "\u2019", "_"],
    ",": [".", " ", "\u00a0", "\u202f", "'", "\u2019"],
}


class Reading(NamedTuple):
    """How a column is read."""

    kind: Kind
    values: pd.Series
    reason: str
    written: str | None = None
    missing: frozenset[str] = frozenset()
    look: str | None = None


def read_column(name: str, cells: pa.Array) -> Reading | None:
    """Decide what a column holds; None if it is of a type that no contract holds (lists, bytes).

    Parameters
    ----------
    name : str
    cells : Array of shape (n_rows,)
        Text as a CSV has it, or the stored type of a Parquet file.

    Returns
    -------
    Reading, whose `values` are as `skline.contract.parse` reads them.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if not is_text(cells.type):
        return _stored(cells)
    cells = cells.cast(pa.string())
    distinct = pc.unique(pc.utf8_trim_whitespace(cells.drop_null())).to_pylist()
    missing = _missing_words(distinct)
    filled = [text for text in distinct if text not in missing]
    if missing:
        marked = pc.is_in(pc.utf8_trim_whitespace(cells), value_set=pa.array(sorted(missing)))
        cells = pc.if_else(marked, None, cells)
    if not filled:
        return Reading("string", parse_column(cells, "string")[0], "no value at all", missing=missing)
    reading = _booleans(cells, filled) or _numbers(name, cells, filled) or _dates(cells, filled)
    if reading is None:
        reading = Reading("string", parse_column(cells, "string")[0], "text")
    return reading._replace(missing=missing)


def _stored(cells: pa.Array) -> Reading | None:
    """Read the types of a Parquet file."""
    kind: Kind | None = None
    if pa.types.is_boolean(cells.type):
        kind = "boolean"
    elif pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type):
        tries: tuple[Kind, ...] = ("boolean", "integer", "number")
        for tried in tries:
            values, bad = parse_column(cells, tried)
            if not bad.any() and not (tried == "boolean" and values.nunique() < 2):
                return Reading(tried, values, _stored_reason(tried, cells))
        values, _ = parse_column(cells, "number")
        return Reading("number", values, f"stored as {cells.type}", look="infinite values, which count as missing")
    elif pa.types.is_date(cells.type):
        kind = "date"
    elif pa.types.is_timestamp(cells.type):
        kind = "date" if not parse_column(cells, "date")[1].any() else "datetime"
    if kind is None:
        return None
    return Reading(kind, parse_column(cells, kind)[0], f"stored as {cells.type}")


def _stored_reason(kind: Kind, cells: pa.Array) -> str:
    """Say why numbers of a Parquet file are of this kind."""
    return {"boolean": "only 0 and 1", "integer": "whole numbers"}.get(kind, f"stored as {cells.type}")


def _missing_words(distinct: list[str]) -> frozenset[str]:
    """Return the cells that mean "nothing": signs anywhere, words where all else is a number or a date."""
    suspects = {text for text in distinct if text.lower() in MISSING_WORDS}
    rest = [text for text in distinct if text not in suspects]
    if not suspects or not rest:
        return frozenset()
    if {text.lower() for text in rest} in ({"x"}, {"o"}):
        return frozenset()
    if any(char.isdigit() for text in rest[:50] for char in text) and _mostly_numbers_or_dates(rest):
        return frozenset(suspects)
    return frozenset(text for text in suspects if text.lower() in MISSING_SIGNS)


def _mostly_numbers_or_dates(texts: list[str]) -> bool:
    """Whether all of up to 500 texts hold a digit and no more than a few letters."""
    return all(re.search(r"\d", text) and len(re.findall(r"[^\W\d_]", text)) <= 9 for text in texts[:500])


def _booleans(cells: pa.Array, filled: list[str]) -> Reading | None:
    """Read two words that mean true and false."""
    lower = {text.lower() for text in filled}
    meanings = {WORDS.get(word) for word in lower}
    if meanings == {True, False} and len(lower) == 2:
        values, _ = parse_column(cells, "boolean")
        return Reading("boolean", values, f"only {' and '.join(sorted(filled))}")
    for yes, no in OTHER_WORDS:
        if lower == {yes, no}:
            written = f"{yes}/{no}"
            values, _ = parse_column(cells, "boolean", written)
            return Reading("boolean", values, f"only {' and '.join(sorted(filled))}", written)
    return None


def _numbers(name: str, cells: pa.Array, filled: list[str]) -> Reading | None:
    """Read numbers, plain or of a notation."""
    if all(PLAIN.fullmatch(text) for text in filled):
        return _plain_numbers(name, cells, filled)
    for sample, why, look in notations(filled):
        values, bad = parse_column(cells, "number", sample)
        kind: Kind = "number" if (values.dropna() % 1).any() else "integer"
        if not bad.any():
            values = parse_column(cells, kind, sample)[0]
            return Reading(kind, values, why, sample, look=look)
    return None


def _plain_numbers(name: str, cells: pa.Array, filled: list[str]) -> Reading | None:
    """Read digits: codes, eight-digit dates, whole numbers or others."""
    if all(text.lstrip("+-").isdigit() for text in filled):
        digits = [text.lstrip("+-") for text in filled]
        if any(len(text) > 1 and text[0] == "0" for text in digits):
            return Reading("string", parse_column(cells, "string")[0], "a code: digits with zeros in front")
        if any(int(text) > LARGEST_INTEGER for text in digits):
            return Reading("string", parse_column(cells, "string")[0], "a code: too many digits for a number")
        if (dates := _compact_dates(name, cells, filled)) is not None:
            return dates
    if all(WHOLE.fullmatch(text) for text in filled):
        values, bad = parse_column(cells, "integer")
        if not bad.any():
            return Reading("integer", values, "whole numbers")
    values, bad = parse_column(cells, "number")
    return None if bad.any() or not np.isfinite(values.dropna()).all() else Reading("number", values, "numbers")


def notations(filled: list[str]) -> list[tuple[str, str, str | None]]:
    """List the notations that these numbers may have: sample, words for it, and what is in doubt."""
    before = after = ""
    inner = []
    for text in filled:
        found = re.fullmatch(
            rf"([+-]?)(?:({CURRENCY}){BLANK}?)?([+-]?)([\d.,'\u2019_ \u00a0\u202f]*\d[.,]?)(?:{BLANK}?({CURRENCY}|%))?",
            text,
        )
        if found is None:
            return []
        before, after = before or found[2] or "", after or found[5] or ""
        inner.append(found[4])
    around = " and ".join(repr(sign) for sign in (before, after) if sign)
    found_notations = []
    for decimal, groupings in GROUPINGS.items():
        for grouping in ["", *groupings]:
            group = re.escape(grouping)
            whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if grouping else r"\d+"
            if not all(
                re.fullmatch(rf"{whole}(?:{re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+", text) for text in inner
            ):
                continue
            if grouping and not any(grouping in text for text in inner):
                continue
            body = f"1{grouping}234{decimal}5" if grouping else f"1234{decimal}5"
            fractions = [text.rpartition(decimal)[2] for text in inner if decimal in text]
            doubt = None
            thousand = bool(fractions) and all(len(text) == 3 for text in fractions)
            if not grouping and thousand and (decimal == "," or around):
                continue  # 1,234 is a thousand, and so is 1.234 €
            if decimal == "." and not grouping and not around:
                continue  # plain
            if (
                decimal == ","
                and grouping == "."
                and not fractions
                and all(len(t.rpartition(".")[2]) == 3 for t in inner if "." in t)
            ):
                doubt = "a point before three digits counts as parting thousands"
            if decimal == "." and grouping == "," and not fractions:
                body = "1,234"
            what = (
                [f"parted by {grouping!r}"] * bool(grouping)
                + [f"decimal {decimal!r}"] * bool(fractions)
                + [f"with {around}"] * bool(around)
            )
            found_notations.append(
                (
                    f"{before}{body}{after and ' ' * (after != '%')}{after}",
                    "numbers, " + ", ".join(what or ["of a notation"]),
                    doubt,
                )
            )
    return found_notations


def _dates(cells: pa.Array, filled: list[str]) -> Reading | None:
    """Read dates and datetimes."""
    found = find_date(filled, in_order=cells.drop_null().to_pylist()[:5000])
    if found is None:
        return None
    values, bad = parse_column(cells, found.kind, found.written)
    return None if bad.any() else Reading(found.kind, values, found.reason, found.written, look=found.look)


def _compact_dates(name: str, cells: pa.Array, filled: list[str]) -> Reading | None:
    """Read dates written as eight digits, 20260131; only where all are days of 1900 to 2100, or the name says date."""
    named = tokens(name) & {"date", "day", "dt", "datum", "ymd", "time"}
    if len(filled) < (1 if named else 20) or not all(re.fullmatch(r"(19|20)\d{6}", text) for text in filled):
        return None
    values, bad = parse_column(cells, "date", "%Y%m%d")
    return None if bad.any() else Reading("date", values, "dates as eight digits", "%Y%m%d")
