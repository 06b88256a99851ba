"""One column's cells → values of one kind, in Arrow: what cannot be read is reported, never bent.

A cell that is no integer does not become one (1.5 is not 1), and "False" is not True.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import LARGEST_INTEGER, Kind
from skline.contract.written import plain_booleans, plain_dates, plain_numbers

WORDS = {"true": True, "t": True, "yes": True, "y": True, "1": True} | {
    "false": False, "f": False, "no": False, "n": False, "0": False,
}  # fmt: skip
RULES: dict[Kind, str] = {
    "integer": "is no whole number within ±2^53",
    "number": "is no number",
    "boolean": "is none of true/false, yes/no, y/n, t/f, 1/0",
    "string": "is no text",
    "date": "is no date written YYYY-MM-DD",
    "datetime": "is no datetime in ISO 8601",
}
ARROW: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


def read_cells(cells: pa.Array, kind: Kind, written: str | None = None) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Read the cells of one column; `written` is how its text is written, where that is not plain.

    Parameters
    ----------
    cells : pyarrow.Array of shape (n,)
        Text or stored values, null where missing; NaN counts as missing.

    Returns
    -------
    values : pyarrow.Array of shape (n,)
        int64, float64, bool, string, date32 or timestamp[us, UTC]; null where missing or unreadable.
    bad : bool array of shape (n,)
        Cells that hold something which is not of this kind.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), None, cells)  # some writers leave NaN where a value is missing
    given = cells
    noted = written if is_text(cells.type) else None
    if kind == "boolean":
        typed = _booleans(cells) if noted is None else plain_booleans(cells, noted)
    else:
        if noted is not None:
            cells = plain_numbers(cells, noted) if kind in ("integer", "number") else plain_dates(cells, noted)
        try:
            typed = _cast(cells, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            typed = _cast_singly(cells, kind)
    if kind == "integer":
        exact = pc.and_(pc.greater_equal(typed, -LARGEST_INTEGER), pc.less_equal(typed, LARGEST_INTEGER))
        typed = pc.if_else(exact, typed, None)
    bad = pc.and_(pc.is_valid(given), pc.is_null(typed))
    return typed, bad.to_numpy(zero_copy_only=False)


def is_text(source: pa.DataType) -> bool:
    """Whether cells of this Arrow type are strings."""
    return bool(pa.types.is_string(source) or pa.types.is_large_string(source) or pa.types.is_string_view(source))


def _cast(cells: pa.Array, kind: Kind) -> pa.Array:
    """Cast a whole column, or raise pa.ArrowInvalid if one cell cannot be."""
    source = cells.type
    if kind == "string":
        if not is_text(source):
            raise pa.ArrowInvalid("not text")
        return cells.cast(pa.string())
    if pa.types.is_boolean(source):
        raise pa.ArrowInvalid("a boolean is no number")
    if kind == "datetime" and pa.types.is_string(source):
        # The cast to UTC wants an offset in every cell; the cast to a naive timestamp wants none.
        zoned = pc.match_substring_regex(cells, r"(Z|[+-]\d\d:?\d\d)$")
        if not pc.any(zoned).as_py():
            return cells.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if kind == "date" and pa.types.is_timestamp(source):
        cells = cells.cast(pa.timestamp("us"))
        if not pc.all(pc.equal(cells, pc.floor_temporal(cells, unit="day"))).as_py():
            raise pa.ArrowInvalid("a time of day is no part of a date")
    return cells.cast(ARROW[kind])


def _cast_singly(cells: pa.Array, kind: Kind) -> pa.Array:
    """Cast cell by distinct cell; what cannot be cast becomes null."""
    encoded = cells.dictionary_encode()
    typed = [_read_cell(value, kind) for value in encoded.dictionary.to_pylist()]
    return pa.array(typed, type=ARROW[kind]).take(encoded.indices)


def _read_cell(value: Any, kind: Kind) -> Any:
    """Read one cell, or return None."""
    if kind == "string":
        return value if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if kind == "integer":
            whole, _, rest = value.partition(".")
            value = whole if rest and not rest.strip("0") else value  # 5.0 is how a float column writes 5
    elif kind == "integer" and isinstance(value, float):
        value = int(value) if value.is_integer() else None
    elif kind in ("integer", "number") and hasattr(value, "to_integral_value"):  # Decimal
        value = float(value) if kind == "number" else int(value) if value == value.to_integral_value() else None
    try:
        return _cast(pa.array([value]), kind)[0].as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError):
        return None


def _booleans(cells: pa.Array) -> pa.Array:
    """Read booleans out of booleans, words, or the numbers 0 and 1."""
    encoded = cells.dictionary_encode()
    meaning = [WORDS.get(_word(value)) for value in encoded.dictionary.to_pylist()]
    return pa.array(meaning, type=pa.bool_()).take(encoded.indices)


def _word(value: Any) -> str:
    """Write a cell as the word that `WORDS` knows: 1.0 and True as 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()
