"""Read the cells of one column in Arrow, as `skline.contract.values` reads single values; nothing is coerced.

1.5 does not become the integer 1, and the text "False" does not become True. Arrow reads columns in which every cell
has the common form; all others are read one distinct value at a time.
"""

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.blanks import may_have_blanks
from skline.contract.notation import WHITESPACE, plain_dates, plain_numbers
from skline.contract.spec import LARGEST_INTEGER, CellFormat, Kind
from skline.contract.values import Unreadable, make_reader

ARROW: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}
#: Seconds since 1970 of the first moment that Python and JSON can represent, and of the first that they cannot.
FIRST_SECOND, END_SECOND = -62_135_596_800, 253_402_300_800
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY_SECONDS = 86_400

Flags = npt.NDArray[np.bool_]


def read_cells(cells: pa.Array, cell_format: CellFormat) -> tuple[pa.Array, Flags]:
    """Read the cells of one column.

    Parameters
    ----------
    cells : pyarrow.Array of shape (n,)
        Text or stored values, null where missing; NaN counts as missing.

    Returns
    -------
    values : pyarrow.Array of shape (n,)
        int64, float64, bool, string, date32 or timestamp[us, UTC]; null where missing or unreadable.
    unreadable : bool array of shape (n,)
        True where a cell holds a value that is not of this kind.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if is_text(cells.type):
        cells = cells.cast(pa.string())
        if cell_format.kind == "string" or _may_hide_missing(cell_format):
            cells = _without_missing(cells, cell_format)
        typed = _cast_text(cells, cell_format)
    else:
        if pa.types.is_floating(cells.type):
            cells = pc.if_else(pc.is_nan(cells), None, cells)  # some writers leave NaN where a value is missing
        typed = _cast_stored(cells, cell_format.kind)
    if typed is None:
        return _read_distinct(cells, cell_format)
    unreadable = pc.and_(pc.is_valid(cells), pc.is_null(typed))
    return typed, unreadable.to_numpy(zero_copy_only=False)


def is_text(source: pa.DataType) -> bool:
    """Whether cells of this Arrow type are strings."""
    return bool(pa.types.is_string(source) or pa.types.is_large_string(source) or pa.types.is_string_view(source))


@lru_cache(maxsize=4096)
def _may_hide_missing(cell_format: CellFormat) -> bool:
    """Whether a text that means a missing value, such as -999, could be read as a value."""
    reader = make_reader(cell_format._replace(missing=frozenset()))
    for word in cell_format.missing:
        try:
            reader(word)
        except Unreadable:
            continue
        return True
    return False


def _without_missing(cells: pa.Array, cell_format: CellFormat) -> pa.Array:
    """Replace the texts that mean a missing value by null, and trim the others if the format says so."""
    trim = cell_format.trim or cell_format.kind != "string"
    text = pc.utf8_trim(cells, characters=WHITESPACE) if trim and may_have_blanks(cells) else cells
    if not cell_format.missing:
        return text
    missing = pc.is_in(text, value_set=pa.array(sorted(cell_format.missing)))
    return pc.if_else(missing, None, text) if pc.any(missing).as_py() else text


def _cast_text(cells: pa.Array, cell_format: CellFormat) -> pa.Array | None:
    """Cast a column of text at once; None if a cell has not the common form of its kind."""
    kind, notation = cell_format.kind, cell_format.notation
    if kind == "string":
        return cells
    try:
        typed = CASTS[kind](cells) if notation is None else _cast_notation(cells, kind, notation)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return typed if typed is not None and typed.null_count == cells.null_count else None


def _cast_notation(cells: pa.Array, kind: Kind, notation: str) -> pa.Array | None:
    """Cast the text of a notation."""
    match kind:
        case "integer" | "number":
            numbers = plain_numbers(cells, notation)
            return CASTS[kind](numbers)
        case "date":
            stamps = plain_dates(cells, notation)
            return None if _have_time(stamps) else stamps.cast(pa.date32())
        case "datetime":
            return plain_dates(cells, notation)
        case _:
            return None


def _cast_integers(cells: pa.Array) -> pa.Array | None:
    """Cast digits; Arrow would also read 0x10 as 16."""
    text = cells.buffers()[2]
    if text is not None and (b"x" in (content := text.to_pybytes()) or b"X" in content):
        return None
    typed = cells.cast(pa.int64())
    return _within(typed, LARGEST_INTEGER)


def _cast_numbers(cells: pa.Array) -> pa.Array | None:
    """Cast decimal numbers; Arrow would also read "inf" and "nan"."""
    typed = cells.cast(pa.float64())
    return pc.if_else(pc.is_finite(typed), typed, None)


def _cast_dates(cells: pa.Array) -> pa.Array:
    return _calendar_days(cells.cast(pa.date32()))


def _cast_datetimes(cells: pa.Array) -> pa.Array:
    """Cast ISO 8601. Arrow casts to UTC if every cell has an offset, and to naive timestamps if none has one."""
    zoned = pc.match_substring_regex(cells, r"(Z|[+-]\d\d:?\d\d)$")
    if pc.any(zoned).as_py():
        typed = cells.cast(pa.timestamp("us", tz="UTC"))
    else:
        typed = cells.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return _in_calendar(typed)


CASTS: dict[Kind, Callable[[pa.Array], pa.Array | None]] = {
    "integer": _cast_integers,
    "number": _cast_numbers,
    "boolean": lambda _: None,  # two distinct words are read faster one by one
    "date": _cast_dates,
    "datetime": _cast_datetimes,
}


def _cast_stored(cells: pa.Array, kind: Kind) -> pa.Array | None:
    """Cast values that a file stored in types, null where one is not of the kind; None if each must be read."""
    source = cells.type
    if pa.types.is_null(source):
        return cells.cast(ARROW[kind])
    if kind in ("date", "datetime"):
        if pa.types.is_timestamp(source) or pa.types.is_date(source):
            return _cast_moments(cells, kind)
    elif kind == "boolean" and pa.types.is_boolean(source):
        return cells
    elif pa.types.is_integer(source) or pa.types.is_floating(source) or pa.types.is_decimal(source):
        return _cast_stored_numbers(cells, kind)
    return pa.nulls(len(cells), ARROW[kind])


def _cast_stored_numbers(cells: pa.Array, kind: Kind) -> pa.Array | None:
    """Cast stored numbers; a float of 2^53 or more may have been rounded, and is no integer."""
    source = cells.type
    if kind == "number":
        if pa.types.is_decimal(source):
            cells = cells.cast(pa.string())  # the direct cast is not rounded correctly
        typed = cells.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_finite(typed), typed, None)
    if kind != "integer":
        return None if kind == "boolean" else pa.nulls(len(cells), ARROW[kind])
    if pa.types.is_integer(source):
        return _within(cells, LARGEST_INTEGER).cast(pa.int64())
    if pa.types.is_decimal(source):
        return None
    cells = cells.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(cells), cells), pc.less(pc.abs(cells), float(LARGEST_INTEGER)))
    return pc.if_else(whole, cells, None).cast(pa.int64())


def _within(values: pa.Array, limit: int) -> pa.Array:
    """Replace integers beyond ±limit by null; the limit may be beyond the type, whose integers then are all within."""
    width = np.iinfo(values.type.to_pandas_dtype())
    if width.max > limit:
        values = pc.if_else(pc.less_equal(values, pa.scalar(limit, values.type)), values, None)
    if width.min < -limit:
        values = pc.if_else(pc.greater_equal(values, pa.scalar(-limit, values.type)), values, None)
    return values


def _cast_moments(cells: pa.Array, kind: Kind) -> pa.Array:
    """Cast stored dates and timestamps to a date, which needs midnight, or to microseconds, truncated, in UTC."""
    if pa.types.is_date(cells.type):
        cells = _calendar_days(cells.cast(pa.date32()))
        return cells if kind == "date" else cells.cast(pa.timestamp("us")).cast(ARROW["datetime"])
    unit = cells.type.unit
    moments = _in_calendar(cells.cast(pa.timestamp(unit)))  # the same moment in UTC
    if kind == "date":
        moments = pc.if_else(pc.equal(moments, pc.floor_temporal(moments, unit="day")), moments, None)
        return moments.cast(pa.timestamp("us")).cast(pa.date32())
    if unit == "ns":
        moments = pc.floor_temporal(moments, unit="microsecond")
    return moments.cast(pa.timestamp("us")).cast(ARROW["datetime"])


def _in_calendar(moments: pa.Array) -> pa.Array:
    """Replace timestamps beyond the years 1 to 9999 by null."""
    factor = UNITS[moments.type.unit]
    if factor == UNITS["ns"]:
        return moments  # 64 bits hold the years 1677 to 2262
    ticks = moments.cast(pa.int64())
    inside = pc.and_(pc.greater_equal(ticks, FIRST_SECOND * factor), pc.less(ticks, END_SECOND * factor))
    return pc.if_else(inside, moments, None)


def _calendar_days(days: pa.Array) -> pa.Array:
    """Replace dates beyond the years 1 to 9999 by null."""
    numbers = days.cast(pa.int32())
    first, end = FIRST_SECOND // DAY_SECONDS, END_SECOND // DAY_SECONDS
    return pc.if_else(pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, end)), days, None)


def _have_time(stamps: pa.Array) -> bool:
    """Whether a timestamp in UTC is not midnight."""
    naive = stamps.cast(pa.timestamp("us"))
    return bool(pc.any(pc.not_equal(naive, pc.floor_temporal(naive, unit="day"))).as_py())


def _read_distinct(cells: pa.Array, cell_format: CellFormat) -> tuple[pa.Array, Flags]:
    """Read each distinct cell by itself."""
    encoded = cells.dictionary_encode()
    reader = make_reader(cell_format)
    values: list[Any] = []
    unreadable: list[bool] = []
    for value in encoded.dictionary.to_pylist():
        try:
            values.append(reader(value))
            unreadable.append(False)
        except Unreadable:
            values.append(None)
            unreadable.append(True)
    if cell_format.kind == "datetime":
        values = [None if value is None else value.replace(tzinfo=dt.UTC) for value in values]
    typed = pa.array(values, type=ARROW[cell_format.kind]).take(encoded.indices)
    flags = pa.array(unreadable, pa.bool_()).take(encoded.indices).fill_null(fill_value=False)
    return typed, flags.to_numpy(zero_copy_only=False)
