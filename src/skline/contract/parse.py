"""Text or stored values → the contract's types, explicitly: what cannot be read is reported, never bent.

A cell that is no integer does not become one (1.5 is not 1), and "False" is not True.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
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


class Parsed(NamedTuple):
    """A typed table and the cells that could not be read.

    `frame` has one column a source column: int64, float64, bool, str or datetime64[us]; integers and
    booleans with missing cells are float64 with NaN. `failures` has the columns row (int64, position in
    `frame`), column, value and rule (str); those cells are missing in `frame`.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame


def parse(table: pa.Table, kinds: Mapping[str, Kind], written: Mapping[str, str] | None = None) -> Parsed:
    """Read each column of `table` that `kinds` names as its kind; other columns are left out.

    `written` says of columns how their text is written (see `skline.contract.written`).
    """
    written = written or {}
    columns: dict[str, pd.Series] = {}
    failures: list[pd.DataFrame] = []
    for name, kind in kinds.items():
        if name not in table.column_names:
            continue
        cells = table.column(name).combine_chunks()
        values, bad = parse_column(cells, kind, written.get(name))
        columns[name] = values
        if bad.any():
            rows = np.flatnonzero(bad)
            failures.append(
                pd.DataFrame(
                    {
                        "row": rows,
                        "column": name,
                        "value": pd.Series([str(v) for v in cells.take(pa.array(rows)).to_pylist()], dtype="str"),
                        "rule": RULES[kind] if name not in written else f"is not written as {written[name]}",
                    }
                )
            )
    empty = pd.DataFrame(
        {"row": np.empty(0, np.int64)} | {c: pd.Series(dtype="str") for c in ("column", "value", "rule")}
    )
    return Parsed(pd.DataFrame(columns), pd.concat(failures, ignore_index=True) if failures else empty)


def parse_column(
    cells: pa.Array, kind: Kind, written: str | None = None
) -> tuple[pd.Series, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Read one column; `written` is how its text is written, where that is not plain.

    Returns
    -------
    values : Series of shape (n,)
        As described for `Parsed.frame`.
    bad : bool array of shape (n,)
        Cells that hold something which is not of this kind.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), None, cells)  # some writers leave NaN where a value is missing
    if kind == "boolean":
        return _booleans(cells, written)
    given = cells
    if written is not None and is_text(cells.type):
        cells = plain_numbers(cells, written) if kind in ("integer", "number") else plain_dates(cells, written)
    try:
        typed = _cast(cells, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        typed = _cast_singly(cells, kind)
    if kind == "integer":
        exact = pc.and_(pc.greater_equal(typed, -LARGEST_INTEGER), pc.less_equal(typed, LARGEST_INTEGER))
        typed = pc.if_else(exact, typed, None)
    bad = np.asarray(pc.and_(pc.is_valid(given), pc.is_null(typed)))
    return _series(typed, kind), bad


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


def _booleans(cells: pa.Array, written: str | None = None) -> tuple[pd.Series, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Read booleans out of booleans, words, or the numbers 0 and 1."""
    if written is not None and is_text(cells.type):
        typed = plain_booleans(cells, written)
    else:
        encoded = cells.dictionary_encode()
        meaning = [WORDS.get(_word(value)) for value in encoded.dictionary.to_pylist()]
        typed = pa.array(meaning, type=pa.bool_()).take(encoded.indices)
    bad = np.asarray(pc.and_(pc.is_valid(cells), pc.is_null(typed)))
    return _series(typed, "boolean"), bad


def _word(value: Any) -> str:
    """Write a cell as the word that `WORDS` knows: 1.0 and True as 1 and true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def _series(typed: pa.Array, kind: Kind) -> pd.Series:
    """Turn an Arrow array into the Series that `Parsed.frame` holds."""
    match kind:
        case "boolean" | "integer" if typed.null_count:
            return pd.Series(typed.cast(pa.float64()).to_numpy(zero_copy_only=False))
        case "date" | "datetime":
            return pd.Series(typed.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]"))
        case "string":
            text: pd.Series = typed.to_pandas().astype("str")
            return text
        case _:
            return pd.Series(typed.to_numpy(zero_copy_only=False))
