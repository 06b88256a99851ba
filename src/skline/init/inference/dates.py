"""Infer the format in which all dates of a column are written."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Kind
from skline.contract.values import ISO
from skline.init.inference.profile import Flags, Profile

DATE_FORMATS = [
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %y", "%b %d, %Y",
    "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d. %B %Y", "%d. %b %Y", "%a, %d %b %Y", "%Y-%b-%d", "%Y-%m-%d", "%d/%b/%Y",
]  # fmt: skip
TIME_FORMATS = [
    " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", " %I:%M:%S%p", " %I:%M%p", "T%H:%M:%S",
    ", %H:%M", ":%H:%M:%S",
]  # fmt: skip
ISO_DATE = r"^\d{4}-\d\d-\d\d$"
#: Dates and datetimes that `skline.contract` reads in every column of dates.
ISO_FORMS = f"^{ISO.pattern}$"
SLASHES = r"^\d{4}/"
#: The time of a datetime, behind its day.
TIME_OF_DAY = r"[T ,:]+\d{1,2}:\d\d.*$"
MIDNIGHT = r"[T ]0?0:00(:00(\.0+)?)?$"
#: A text that may be a date: at least two groups of digits, or one and the name of a month.
LIKELY_DATE = r"^(\d{1,4}\D{1,2}(\d{1,2}|[A-Za-z]{3,9})\D.*|[A-Za-z]{3,9},? \d.*)$"
#: What a directive of a format can read, or more.
SHAPES = {
    "%d": r"\W?\p{Nd}{1,2}", "%m": r"\p{Nd}{1,2}", "%Y": r"\p{Nd}{4}", "%y": r"\p{Nd}{2}", "%H": r"\p{Nd}{1,2}",
    "%I": r"\p{Nd}{1,2}", "%M": r"\p{Nd}{1,2}", "%S": r"\p{Nd}{1,2}", "%f": r"\p{Nd}{1,9}", "%b": ".+", "%B": ".+",
    "%a": ".+", "%p": ".*", "%z": ".*",
}  # fmt: skip
#: pandas reads formats that begin with the year by other rules: only the first digit is certain.
YEAR_FIRST_SHAPE = r"\W*\p{Nd}.*"
#: Words that pandas reads in any format.
WORDS_OF_NOW = "now|today"
#: A format has to read this share of the most frequent texts of a column, before it is tried on all of them.
FIRST_TEXTS, MIN_FIRST_SHARE = 20, 0.8


class DateFormat(NamedTuple):
    """A kind of date, its notation (None for ISO 8601), the distinct texts that have it, and what to check."""

    kind: Kind
    notation: str | None
    reason: str
    read: Flags
    doubt: str | None = None


def infer_date_format(profile: Profile, in_order: Sequence[str]) -> DateFormat | None:
    """Return the format of nearly all texts; None if they are not dates.

    Parameters
    ----------
    profile : Profile
    in_order : sequence of str
        Cells in the order of the table: they decide where day and month could be swapped.
    """
    day, iso = profile.matching(ISO_DATE), profile.matching(ISO_FORMS)
    dashed = iso & ~profile.matching(SLASHES)
    if profile.are_nearly_all(dashed):
        return _iso_format(profile, day, dashed & ~day)
    likely = profile.matching(LIKELY_DATE)
    if not profile.are_nearly_all(likely):
        return None
    first = _most_frequent(profile)
    fitting = _read_any(profile, first, DATE_FORMATS)
    kind: Kind = "date"
    if not fitting:
        zones = ("%z", " %z") if profile.matching(r"[+-]\d\d:?\d\d$").any() else ("",)
        days = [form for form in DATE_FORMATS if _may_read(first, form, more=True).mean() > MIN_FIRST_SHARE]
        fitting = _read_any(
            profile, first, [f"{day}{time}{zone}" for day in days for time in TIME_FORMATS for zone in zones]
        )
        kind = "datetime"
    if not fitting:
        return _iso_format(profile, day, iso & ~day) if profile.are_nearly_all(iso) else None
    fullest = max(profile.share(read) for read in fitting.values())
    best = [form for form, read in fitting.items() if profile.share(read) == fullest]
    chosen, doubt = _day_or_month(best, in_order)
    read = fitting[chosen]
    if kind == "datetime" and "%z" not in chosen and profile.keep(read).matching(r"\b0?0:00(:00(\.0+)?)?$").all():
        kind = "date"
    return DateFormat(kind, chosen, f"dates in the format {chosen}", read, doubt)


def _iso_format(profile: Profile, day: Flags, moment: Flags) -> DateFormat:
    """Return the kind of dates in ISO 8601: datetimes unless each of them is midnight."""
    moments = profile.keep(moment)
    if not moment.any() or (profile.are_nearly_all(day) and not day.all()):
        return DateFormat("date", None, "dates, YYYY-MM-DD", day)
    if moments.matching(MIDNIGHT).all() and not day.any():
        fitting = _read_any(profile, _most_frequent(profile), [f"%Y-%m-%d{time}" for time in TIME_FORMATS])
        if fitting:
            return DateFormat("date", next(iter(fitting)), "dates whose time is always midnight", moment)
    return DateFormat("datetime", None, "datetimes, ISO 8601", day | moment)


def _most_frequent(profile: Profile) -> pa.Array:
    """Return the most frequent texts, on which most formats fail."""
    order = pc.array_sort_indices(pa.array(profile.counts), order="descending")
    return profile.texts.take(order[:FIRST_TEXTS])


def _read_any(profile: Profile, first: pa.Array, forms: Sequence[str]) -> dict[str, Flags]:
    """Return the formats of nearly all texts, and the texts that are dates of each, between the years 1850 and 2150."""
    fitting = {}
    for form in forms:
        if not _fits(first, form).mean() > MIN_FIRST_SHARE:
            continue
        read = _fits(profile.texts, form)
        if profile.are_nearly_all(read):
            fitting[form] = read
    return fitting


def mixed_formats(profile: Profile) -> dict[tuple[str, bool], Flags]:
    """Return the texts that are dates, by the format of the day and whether a time follows; ISO 8601 comes first."""
    days = pc.replace_substring_regex(profile.texts, TIME_OF_DAY, "")
    timed = pc.not_equal(days, profile.texts).to_numpy(zero_copy_only=False)
    formats: dict[tuple[str, bool], Flags] = {}
    rest = np.ones(len(days), dtype=np.bool_)
    for form in ["%Y-%m-%d", *DATE_FORMATS]:
        fits = rest & _fits(days, form)
        rest &= ~fits
        formats |= {(form, time): fits & (timed == time) for time in (False, True) if (fits & (timed == time)).any()}
    return formats


def _fits(texts: pa.Array, form: str) -> Flags:
    """Return which texts are dates of this format."""
    fits = _may_read(texts, form)
    if fits.any():
        likely = texts.filter(pa.array(fits)).to_pylist()
        stamps = pd.to_datetime(pd.Series(likely, dtype="str"), format=form, errors="coerce", utc="%z" in form)
        fits[fits] = stamps.dt.year.between(1850, 2150).to_numpy()
    return fits


def _may_read(texts: pa.Array, form: str, *, more: bool = False) -> Flags:
    """Return which texts have the shape of a format, as all texts that pandas reads; with `more`, others may follow."""
    flags: Flags = pc.match_substring_regex(texts, _shape(form, more=more)).to_numpy(zero_copy_only=False)
    return flags.copy()


@lru_cache(maxsize=1024)
def _shape(form: str, *, more: bool) -> str:
    """Return a regular expression of RE2 that matches every text of a format, and others."""
    if form.startswith("%Y"):
        shape = YEAR_FIRST_SHAPE
    else:
        parts = re.findall("%.|.", form)
        shape = "".join(SHAPES.get(part) or (r"\W+" if part == " " else re.escape(part)) for part in parts)
    return f"(?is)^(?:{shape}{'.*' if more else ''}|{WORDS_OF_NOW})$"


def _day_or_month(fitting: list[str], in_order: Sequence[str]) -> tuple[str, str | None]:
    """Choose between formats with day and month swapped, by the order of the rows or else the number of days."""
    first = fitting[0]
    swapped = [form for form in fitting if form != first and _swap_day_and_month(form) == first]
    if not swapped:
        return first, None
    forms = [first, swapped[0]]
    doubt = f"day and month could be swapped; parsed as {{}}, not as {{}}: check {in_order[0]!r}"
    stamps = {f: pd.to_datetime(pd.Series(list(in_order), dtype="str"), format=f, errors="coerce") for f in forms}
    for form in forms:
        other = forms[1 - forms.index(form)]
        ordered, unordered = stamps[form].dropna(), stamps[other].dropna()
        sorted_rows = (ordered.is_monotonic_increasing or ordered.is_monotonic_decreasing) and ordered.nunique() > 2
        other_sorted = unordered.is_monotonic_increasing or unordered.is_monotonic_decreasing
        if sorted_rows and not (other_sorted and len(unordered) >= len(ordered)):
            return form, doubt.format(form, other) + " (the rows are in order then)"
    # Any table has more distinct days of the month than months.
    days = {form: stamps[form].dt.day.nunique() for form in forms}
    chosen = max(forms, key=lambda form: days[form])
    other = forms[1 - forms.index(chosen)]
    return chosen, doubt.format(chosen, other)


def _swap_day_and_month(form: str) -> str:
    """Swap the day and the month of a format."""
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
