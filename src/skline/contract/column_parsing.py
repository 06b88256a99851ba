"""Convert text or stored values to the contract's types in pandas, and report unreadable cells."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from skline.contract.cells import read_cells
from skline.contract.spec import CellFormat, Kind
from skline.contract.values import expected

#: Stands in the place of the column in a failure of a whole row.
WHOLE_ROW = "(row)"


class Parsed(NamedTuple):
    """A typed table and its unreadable cells.

    `frame` has one column per source column: int64, float64, bool, str or datetime64[us]; integers and
    booleans with missing cells are float64 with NaN. `failures` has the columns row (int64, position in
    `frame`), column, value and rule (str); these cells are missing in `frame`.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame


class ParsedCells(NamedTuple):
    """The cells of some rows, in the types of `skline.contract.cells`, null where missing or unreadable.

    `failures` is that of `Parsed`.
    """

    cells: pa.RecordBatch
    failures: pd.DataFrame


def parse(table: pa.Table, formats: Mapping[str, CellFormat]) -> Parsed:
    """Read each column of `table` that `formats` names; omit the other columns."""
    parsed = parse_cells(table, formats)
    columns = zip(parsed.cells.schema.names, parsed.cells.columns, strict=True)
    with_missing = {name for name, cells in columns if cells.null_count}
    return Parsed(cells_to_frame(parsed.cells, formats, with_missing), parsed.failures)


def parse_cells(table: pa.Table | pa.RecordBatch, formats: Mapping[str, CellFormat]) -> ParsedCells:
    """Read each column of `table` that `formats` names, without converting it to pandas."""
    columns: dict[str, pa.Array] = {}
    failures: list[pd.DataFrame] = []
    for name, cell_format in formats.items():
        if name not in table.schema.names:
            continue
        cells = table.column(name)
        if isinstance(cells, pa.ChunkedArray):
            cells = cells.combine_chunks()
        columns[name], unreadable = read_cells(cells, cell_format)
        if unreadable.any():
            rows = np.flatnonzero(unreadable)
            failures.append(
                pd.DataFrame(
                    {
                        "row": rows,
                        "column": name,
                        "value": pd.Series([str(v) for v in cells.take(pa.array(rows)).to_pylist()], dtype="str"),
                        "rule": f"is not {expected(cell_format)}",
                    }
                )
            )
    empty = pd.DataFrame(
        {"row": np.empty(0, np.int64)} | {c: pd.Series(dtype="str") for c in ("column", "value", "rule")}
    )
    return ParsedCells(
        pa.RecordBatch.from_pydict(columns), pd.concat(failures, ignore_index=True) if failures else empty
    )


def cells_to_frame(
    cells: pa.RecordBatch, formats: Mapping[str, CellFormat], with_missing: Collection[str]
) -> pd.DataFrame:
    """Convert typed cells to `Parsed.frame`.

    `with_missing` are the columns with a missing cell anywhere in the table: their integers and booleans are float64,
    also where none of these rows has a missing cell.
    """
    names = cells.schema.names
    return pd.DataFrame(
        {name: _series(cells.column(name), formats[name].kind, has_missing=name in with_missing) for name in names}
    )


def parse_column(
    cells: pa.Array, kind: Kind, notation: str | None = None
) -> tuple[pd.Series, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Read one column; `notation` describes its text, where that is not plain.

    Returns
    -------
    values : Series of shape (n,)
        With the dtypes of `Parsed.frame`.
    unreadable : bool array of shape (n,)
        True where a cell holds a value that is not of this kind.
    """
    typed, unreadable = read_cells(cells, CellFormat(kind, notation))
    return _series(typed, kind, has_missing=bool(typed.null_count)), unreadable


def _series(typed: pa.Array, kind: Kind, *, has_missing: bool) -> pd.Series:
    """Convert an Arrow array to the Series in `Parsed.frame`; `has_missing`: whether the column has missing cells."""
    match kind:
        case "boolean" | "integer" if has_missing:
            return pd.Series(typed.cast(pa.float64()).to_numpy(zero_copy_only=False))
        case "date" | "datetime":
            return pd.Series(typed.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype("datetime64[us]"))
        case "string":
            text: pd.Series = typed.to_pandas().astype("str")
            return text
        case _:
            return pd.Series(typed.to_numpy(zero_copy_only=False))
