"""JSON objects, and Python values of drivers and workbooks, as the cells of a table."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

#: Whole numbers up to here are exact as float64.
EXACT_FLOAT = 2**53


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the cells of a JSON object: a nested object gives columns `parent.child`, an array is its JSON text."""
    cells: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            cells |= flat(value, f"{prefix}{key}.")
        else:
            cells[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
    return cells


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as columns, in the order in which the columns first appear."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def cell_text(value: Any) -> str:
    """Return a value as text, as a table in text has it: numbers without a needless ".0", dates in ISO 8601."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < EXACT_FLOAT:
            return str(int(value))
        case Decimal():
            return f"{value:f}"
        case dt.datetime():
            return value.isoformat(" ")
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)
