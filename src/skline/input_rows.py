"""Rows given in Python, as a DataFrame, an Arrow table or JSON values: read and validated as by `/predict`."""

import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from skline.contract.notation import trimmed_name
from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Value
from skline.contract.suggestions import Location, Suggestions, absence_hint, absence_hints
from skline.errors import SklineError


class ArrowTable(Protocol):
    """A table of Arrow's PyCapsule interface: of pyarrow, polars, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the table as a stream of record batches."""


#: What `predict` takes: a table, one row, or several, as a client of `/predict` sends them.
Rows = pd.DataFrame | pd.Series | ArrowTable | Mapping[str, Any] | Sequence[Mapping[str, Any]]

#: Broken rules that a message lists, unknown names among them, and characters that it shows of a value.
MAX_LISTED = 5
MAX_UNKNOWN = 20
MAX_SHOWN = 60
#: Types of the values of JSON, and those that the contract reads besides: dates and exact decimals.
READABLE = (str, bool, int, float, type(None), list, dict, dt.date, decimal.Decimal)


class InputRows:
    """Reads rows of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract, self._parser = contract, RowParser(contract)
        self._hints = absence_hints(contract, lambda _: "pass None")

    def read(self, rows: Rows) -> list[dict[str, Value]]:
        """Validate rows, and return their values.

        A Series is a row of a table, as `DataFrame.iloc` returns it. Columns of a table that are not inputs are
        ignored, as in `skline score`, and so are blanks around names, unless the contract keeps them; unknown fields
        of a JSON row break the contract, as in `/predict`.

        Raises
        ------
        SklineError
            Naming each row (counted from 0), field and rule.
        """
        if isinstance(rows, pd.Series):
            rows = rows.to_frame().T
        if isinstance(rows, np.ndarray):
            raise SklineError("an array has no names of columns; pass a DataFrame, or pd.DataFrame(array, columns=[…])")
        if isinstance(rows, pd.DataFrame):
            values = rows_of_frame(self._contract, rows)
        elif isinstance(rows, Mapping):
            values = [_plain_row(rows, 0)]
        elif hasattr(rows, "__arrow_c_stream__"):
            values = rows_of_arrow(self._contract, rows)
        else:
            values = [_plain_row(row, index) for index, row in enumerate(rows)]
        try:
            return self._parser.read_rows(values)
        except ValidationError as error:
            raise SklineError(describe(error, self._hints)) from None


def rows_of_frame(contract: Contract, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a DataFrame to rows of plain values, for the contract to read; nothing is rounded.

    Raises
    ------
    SklineError
        If an input is missing, or there twice.
    """
    positions = _input_positions(contract, list(frame.columns))
    columns = {}
    for name, position in positions.items():
        values = frame.iloc[:, position]
        cells = values.astype(object).where(values.notna(), None).tolist()
        columns[name] = [_plain(cell) for cell in cells]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def rows_of_arrow(contract: Contract, table: ArrowTable) -> list[dict[str, Any]]:
    """Convert an Arrow table to rows of plain values, for the contract to read; nothing is rounded.

    Raises
    ------
    SklineError
        If an input is missing, or there twice.
    """
    import pyarrow as pa

    arrow = pa.table(table)
    positions = _input_positions(contract, arrow.column_names)
    rows = arrow.select([*positions.values()]).rename_columns([*positions]).to_pylist()
    return [_plain_row(row, index) for index, row in enumerate(rows)]


def _input_positions(contract: Contract, names: Sequence[Any]) -> dict[str, int]:
    """Return the position of each input among the columns of a table, whose names are read as those of a file.

    Raises
    ------
    SklineError
        If an input is not exactly one of the columns.
    """
    inputs = frozenset(contract.input_names)
    if contract.trim:
        names = [trimmed_name(name) if isinstance(name, str) and name not in inputs else name for name in names]
    missing = [name for name in contract.input_names if name not in names]
    if missing:
        similar = {name: get_close_matches(name, [str(each) for each in names], n=1) for name in missing}
        described = [f"{name!r}" + (f" (it has {similar[name][0]!r})" if similar[name] else "") for name in missing]
        raise SklineError(f"the table lacks the columns {', '.join(described)}; rename or add them")
    twice = [name for name in contract.input_names if names.count(name) > 1]
    if twice:
        raise SklineError(
            f"the table has several columns called {', '.join(map(repr, twice))}"
            f"{' (without blanks around the names)' if contract.trim else ''}; drop all but one"
        )
    return {name: names.index(name) for name in contract.input_names}


def describe(error: ValidationError, hints: Mapping[str, str] | None = None) -> str:
    """Describe the first broken rules, each with its row (if the error is about several), its field and its value.

    Unknown names come first, each once, with the column that it is likely to mean, which is not listed as missing then.
    `hints` are what `absence_hints` returns.
    """
    details = error.errors(include_url=False, include_context=False)
    suggestions, messages = Suggestions(details), []
    shown: set[Location] = set()
    unknown: dict[int | str, ErrorDetails] = {}
    for detail in details:
        if detail["type"] == "extra_forbidden":
            unknown.setdefault(detail["loc"][-1], detail)
    for detail in [*unknown.values()][:MAX_UNKNOWN]:
        column = suggestions.similar_name(detail["loc"])
        hint = "" if column is None else f"; did you mean {column[-1]!r}?"
        messages.append(_message(detail, hint))
        shown |= {detail["loc"]} if column is None else {detail["loc"], column}
    others = [detail for detail in details if detail["type"] != "extra_forbidden" and detail["loc"] not in shown]
    messages += [_message(detail, absence_hint(detail, hints or {})) for detail in others[:MAX_LISTED]]
    shown |= {detail["loc"] for detail in others[:MAX_LISTED]}
    more = sum(detail["loc"] not in shown for detail in details)
    text = "; ".join(messages) + (f"; and {more} more" if more else "")
    has_later_row = any(isinstance(loc[0], int) and loc[0] > 0 for loc in shown if loc)
    return f"{text} (rows are counted from 0)" if has_later_row else text


def _message(detail: ErrorDetails, hint: str = "") -> str:
    """Return a broken rule with its place, and with its value unless it has none."""
    place = [f"row {part}" if isinstance(part, int) else part for part in detail["loc"]]
    value = "" if detail["type"] == "missing" else f" (got {_shown(detail['input'])})"
    return ": ".join([*place, f"{detail['msg']}{hint}{value}"])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _plain_row(row: Any, index: int) -> dict[Any, Any]:
    """Convert the values of a row to plain values; SklineError if it is no row."""
    if not isinstance(row, Mapping):
        raise SklineError(f"row {index}: Input should be an object of names and values (got {_shown(row)})")
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Convert a value of NumPy or pandas to the plain one that the contract reads; SklineError if there is none."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, np.generic) and not isinstance(value, np.timedelta64):
        value = value.item()
    if value is pd.NA or value is pd.NaT:
        return None
    if not isinstance(value, READABLE):
        raise SklineError(f"the rows have a value that JSON cannot hold: {_shown(value)} is a {type(value).__name__}")
    return value
