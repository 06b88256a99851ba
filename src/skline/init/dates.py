"""Find the one format in which all dates of a column are written."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from skline.contract.spec import Kind

DAYS = [
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y", "%d/%m/%y",
    "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d %b %y", "%b %d, %Y",
    "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d. %B %Y", "%d. %b %Y", "%a, %d %b %Y", "%Y-%b-%d", "%Y-%m-%d", "%d/%b/%Y",
]  # fmt: skip
TIMES = [
    " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", " %I:%M:%S%p", " %I:%M%p", "T%H:%M:%S",
    ", %H:%M", ":%H:%M:%S",
]  # fmt: skip
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
ISO_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
#: A text that may be a date: two groups of digits at least, or a month's name beside them.
LIKELY = re.compile(r"\d{1,4}\D{1,2}(\d{1,2}|[A-Za-z]{3,9})\D.*|[A-Za-z]{3,9},? \d.*")


class Found(NamedTuple):
    """A kind of date and how it is written; None where it is ISO 8601."""

    kind: Kind
    written: str | None
    reason: str
    look: str | None = None


def find_date(filled: Sequence[str], in_order: Sequence[str]) -> Found | None:
    """Find the format of these distinct texts; None if they are no dates, or not all of one format.

    `in_order` are cells in the table's order, which helps where day and month could be either.
    """
    if all(ISO_DATE.fullmatch(text) for text in filled):
        return Found("date", None, "dates, YYYY-MM-DD")
    if all(ISO_DATETIME.fullmatch(text) for text in filled):
        if all(re.search(r"[T ]00:00(:00(\.0+)?)?$", text) for text in filled):
            form = _first_fit(filled, [f"%Y-%m-%d{time}" for time in TIMES])
            return Found("date", form, "dates with an empty time") if form else None
        return Found("datetime", None, "datetimes, ISO 8601")
    if not all(LIKELY.fullmatch(text) for text in filled[:50]):
        return None
    fitting = [form for form in DAYS if _fits(filled, form)]
    kind: Kind = "date"
    if not fitting:
        fitting = [day + time for day in DAYS for time in TIMES if _fits(filled, day + time)]
        kind = "datetime"
    if not fitting:
        return None
    chosen, look = _day_or_month(fitting, in_order)
    if kind == "datetime" and all(re.search(r"\b0?0:00(:00(\.0+)?)?$", text) for text in filled):
        kind = "date"
    return Found(kind, chosen, f"dates, written {chosen}", look)


def _first_fit(filled: Sequence[str], forms: Sequence[str]) -> str | None:
    """Return the first format that reads all."""
    return next((form for form in forms if _fits(filled, form)), None)


def _fits(filled: Sequence[str], form: str) -> bool:
    """Whether every text is a date of this format, of a year people live in."""
    for size in (20, len(filled)):  # most formats fail at once
        stamps = pd.to_datetime(pd.Series(list(filled[:size]), dtype="str"), format=form, errors="coerce")
        if stamps.isna().any() or not stamps.dt.year.between(1850, 2150).all():
            return False
    return True


def _day_or_month(fitting: list[str], in_order: Sequence[str]) -> tuple[str, str | None]:
    """Choose where the day and the month could change places: the order of rows tells, or the spread."""
    first = fitting[0]
    swapped = [form for form in fitting if form != first and _swap(form) == first]
    if not swapped:
        return first, None
    forms = [first, swapped[0]]
    look = f"day and month could be the other way round; read as {{}}, not as {{}}: check {in_order[0]!r}"
    stamps = {f: pd.to_datetime(pd.Series(list(in_order), dtype="str"), format=f, errors="coerce") for f in forms}
    for form in forms:
        other = forms[1 - forms.index(form)]
        ordered, unordered = stamps[form], stamps[other]
        sorted_rows = (ordered.is_monotonic_increasing or ordered.is_monotonic_decreasing) and ordered.nunique() > 2
        if sorted_rows and not (unordered.is_monotonic_increasing or unordered.is_monotonic_decreasing):
            return form, look.format(form, other) + " (this way the rows are in order)"
    # A table has more different days than months, whatever it is about.
    days = {form: stamps[form].dt.day.nunique() for form in forms}
    chosen = max(forms, key=lambda form: days[form])
    other = forms[1 - forms.index(chosen)]
    return chosen, look.format(chosen, other)


def _swap(form: str) -> str:
    """Let the day and the month of a format change places."""
    return form.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
