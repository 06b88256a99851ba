"""The shape of a format rejects no text that pandas reads in the format, so that it decides which texts pandas gets."""

import datetime as dt

import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from skline.init.inference.dates import DATE_FORMATS, TIME_FORMATS, _fits, _may_read
from skline.init.inference.profile import Flags

DAYS_WITH_TIMES = ("%d.%m.%Y", "%b %d, %Y", "%Y-%m-%d")
FORMATS = [*DATE_FORMATS, *(f"{day}{time}" for day in DAYS_WITH_TIMES for time in TIME_FORMATS), "%d/%b/%Y:%H:%M:%S %z"]
#: Texts as people and programs write them, and some that only look like dates.
ODD_TEXTS = [
    "now", "today", "NOW", "NaT", "1.2.2026", "01.02.26", "31.02.2026", " 1.2.2026", "1.2.2026 ", "1/ 2/2026",
    "01/02/2026 3:04", "\u0660\u0661.02.2026", "01.02.2026\u00a003:04", "01.02.2026\t03:04", "01.02.2026  03:04:05",
    "01.02.2026\n", "1 JAN 2026", "1 january 2026", "Jan 1,  2026", "JANUARY 31, 2026", "1. März 2026", "2026-Jan-01",
    "Mon, 02 Feb 2026", "mon,  2 Feb 2026", "2026-01-01", "20260101", "2026-1-1", "2026/01/01", "2026.01.01",
    "+2026-01-01", "-2026-01-01", "2026-01-01t03:04:05", "2026-01-01T03:04:05+0100", "01/Feb/2026:03:04:05 +0100",
    "01/02/2026 03:04 pm", "01/02/2026 3:04PM", "text 5 free words", "level 3", "1-2-3", "12:30", "0001-01-01",
    "01.02.2026 03:04:05.123456789", "01-02-2026, 03:04", "9999-12-31", "",
]  # fmt: skip


def read_by_pandas(texts: list[str], form: str) -> Flags:
    """Return which texts pandas reads in a format as a date between the years 1850 and 2150."""
    stamps = pd.to_datetime(pd.Series(texts, dtype="str"), format=form, errors="coerce", utc="%z" in form)
    read: Flags = stamps.dt.year.between(1850, 2150).to_numpy()
    return read


def test_the_shape_of_a_format_changes_nothing_for_odd_texts() -> None:
    for form in FORMATS:
        assert _fits(pa.array(ODD_TEXTS), form).tolist() == read_by_pandas(ODD_TEXTS, form).tolist(), form


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(FORMATS),
    st.datetimes(dt.datetime(1840, 1, 1), dt.datetime(2160, 1, 1)),
    st.data(),
)
def test_the_shape_of_a_format_admits_what_pandas_reads(
    form: str, written: str, moment: dt.datetime, data: st.DataObject
) -> None:
    text = moment.replace(tzinfo=dt.UTC).strftime(written)
    cut = data.draw(st.integers(0, len(text)))
    edited = (
        text[:cut]
        + data.draw(st.sampled_from(["", " ", "0", "\u00a0", "x", "\u0663", "."]))
        + text[cut + data.draw(st.integers(0, 1)) :]
    )
    same = moment.replace(tzinfo=dt.UTC).strftime(form)
    texts = [text, edited, same, same.upper(), same.replace("0", "")]
    assert _fits(pa.array(texts), form).tolist() == read_by_pandas(texts, form).tolist()


def test_the_shape_of_a_format_rejects_most_texts_without_pandas() -> None:
    texts = pa.array(["text 5 free words", "level 3", "12.5", "a, b"])
    assert not any(_may_read(texts, form).any() for form in FORMATS if not form.startswith("%Y"))
