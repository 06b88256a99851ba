"""Cells as table clients send them, read as those of a table are read, so that a row becomes one of /predict.

DataFrames have no missing integers (they become floats with NaN), and CSV has only text. A cell that cannot be read is
left as it is, and validation rejects it with its own message. A date in text is left to validation too: it would read
it a second time, in another spelling, which may be one that means a missing value.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from skline.contract.spec import Contract
from skline.contract.values import Reader, Unreadable, make_reader
from skline.serving.errors import RequestError
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES


def convert_record(contract: Contract, record: Any, index: int) -> dict[str, Any]:
    """Convert one row given as an object; unknown column names are kept, for validation to reject.

    Raises
    ------
    RequestError
        If the row is not an object, or has far more members than there are columns.
    """
    if not isinstance(record, dict):
        raise bad_request(f"row {index} must be an object of column names and values")
    if len(record) > len(contract.inputs) + MAX_EXTRA_VALUES:
        message = f"row {index} has {len(record)} values, but the model has {len(contract.inputs)} inputs"
        raise bad_request(message, 413, "too_many_values")
    readers = readers_of(contract)
    return {name: read_cell(readers.get(name), value) for name, value in record.items()}


def convert_table(contract: Contract, names: list[str], rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Convert rows given as lists of cells in the order of `names`.

    Raises
    ------
    RequestError
        If a name occurs twice, or a row is not a list with one cell per name.
    """
    if len(set(names)) < len(names):
        raise bad_request("a column name occurs twice; name each column once")
    readers = readers_of(contract)
    readers_in_order = [readers.get(name) for name in names]
    table = []
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise bad_request(f"row {index} must be a list of {len(names)} cells")
        if len(row) != len(names):
            raise bad_request(f"row {index} has {len(row)} cells, but there are {len(names)} columns: {_listed(names)}")
        cells = (read_cell(reader, value) for reader, value in zip(readers_in_order, row, strict=True))
        table.append(dict(zip(names, cells, strict=True)))
    return table


def _listed(names: list[str]) -> str:
    """Return the first names, each shortened."""
    return ", ".join(name[:100] for name in names[:20])


def readers_of(contract: Contract) -> dict[str, Reader]:
    """Return the reader of each input."""
    return {column.name: make_reader(contract.cell_format(column)) for column in contract.inputs}


def read_cell(reader: Reader | None, value: Any) -> Any:
    """Read a cell; it stays as it is if it cannot be read, is the text of a date, or belongs to no column."""
    if reader is None:
        return value
    try:
        result = reader(value)
    except Unreadable:
        return value
    return value if isinstance(result, dt.date) and isinstance(value, str) else result


def check_row_count(rows: int, limit: int) -> None:
    """Reject (413) a request with more rows than a batch may have."""
    if rows > limit:
        raise RequestError(413, f"the batch has {rows} rows, but at most {limit} are allowed; split it")


def bad_request(message: str, status: int = 422, kind: str = "malformed") -> RequestError:
    """Return the error for a body that breaks the protocol."""
    return RequestError(status, message, kind)
