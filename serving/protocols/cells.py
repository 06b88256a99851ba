"""A cell as table clients send it → the value that /predict would be sent, where nothing is lost.

DataFrames have no missing integers (they become floats with NaN), no dates without a time, and CSV has only
text. What is read here is what such a client means without doubt; everything else stays as it is, and
validation refuses it in its own words.
"""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from serving.errors import RequestRefused
from skline.contract.spec import LARGEST_INTEGER, Column, Contract

_WHOLE = re.compile(r"([+-]?[0-9]{1,17})(?:\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?", re.ASCII)
_WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

Read = Callable[[Column, Any], Any]


def from_json(column: Column, value: Any) -> Any:
    """Read a cell of a DataFrame that was written as JSON, or of a numeric tensor."""
    if isinstance(value, float) and math.isnan(value):
        return None
    match column.kind:
        case "integer" if isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_INTEGER:
            return int(value)
        case "boolean" if isinstance(value, (int, float)) and value in (0, 1):
            return bool(value)
        case "date" if isinstance(value, str):
            midnight = _MIDNIGHT.fullmatch(value)
            return midnight[1] if midnight else value
        case _:
            return value


def from_text(column: Column, text: str) -> Any:
    """Read a cell of a CSV file; an empty one is missing."""
    if not text:
        return None
    match column.kind:
        case "integer":
            whole = _WHOLE.fullmatch(text)
            return int(whole[1]) if whole else text
        case "number":
            return float(text) if _NUMBER.fullmatch(text) else text
        case "boolean":
            return _WORDS.get(text.lower(), text)
        case _:
            return from_json(column, text)


def from_bytes(column: Column, value: Any) -> Any:
    """Read an element of a binary tensor, which knows no null: an empty text is missing where it may be."""
    return None if value == "" and column.nullable else from_json(column, value)


def read_record(contract: Contract, record: Any, index: int, read: Read = from_json) -> dict[str, Any]:
    """Read one row given by column names; unknown names stay, for validation to refuse.

    Raises
    ------
    RequestRefused
        If it is no object.
    """
    if not isinstance(record, dict):
        raise refused(f"row {index} must be an object of column name and value")
    columns = {column.name: column for column in contract.inputs}
    return {name: read(columns[name], value) if name in columns else value for name, value in record.items()}


def read_table(
    contract: Contract, names: list[str], rows: Iterable[Any], read: Read = from_json
) -> list[dict[str, Any]]:
    """Read rows given as lists of cells in the order of `names`.

    Raises
    ------
    RequestRefused
        If a name is there twice, or a row is no list of as many cells as there are names.
    """
    if len(set(names)) < len(names):
        raise refused("a column is there twice")
    columns = {column.name: column for column in contract.inputs}
    reads = [columns.get(name) for name in names]
    table = []
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} cells" if isinstance(row, list) else "no list"
            raise refused(f"row {index} has {found}, {len(names)} columns are named: {', '.join(names[:20])}")
        cells = (value if column is None else read(column, value) for column, value in zip(reads, row, strict=True))
        table.append(dict(zip(names, cells, strict=True)))
    return table


def at_most(rows: int, limit: int) -> None:
    """Refuse (413) more rows than a batch may have."""
    if rows > limit:
        raise RequestRefused(413, f"the batch has {rows} rows, at most {limit} are allowed; send it in parts")


def refused(message: str, status: int = 422, kind: str = "malformed") -> RequestRefused:
    """Make a refusal of the body."""
    return RequestRefused(status, message, kind)
