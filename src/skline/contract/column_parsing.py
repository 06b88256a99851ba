"""Convert text or stored values to the contract's types in pandas, and report unreadable cells."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from skline.contract.cells import read_cells
from skline.contract.spec import CellFormat, Kind
from skline.contract.values import expected


class Parsed(NamedTuple):
    """A typed table and its unreadable cells.

    `frame` has one column per source column: int64, float64, bool, str or datetime64[us]; integers and
    booleans with missing cells are float64 with NaN. `failures` has the columns row (int64, position in
    `frame`), column, value and rule (str); these cells are missing in `frame`.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame


def parse(table: pa.Table, formats: Mapping[str, CellFormat]) -> Parsed:
    """Read each column of `table` that `formats` names; omit the other columns."""
    columns: dict[str, pd.Series] = {}
    failures: list[pd.DataFrame] = []
    for name, cell_format in formats.items():
        if name not in table.column_names:
            continue
        cells = table.column(name).combine_chunks()
        typed, unreadable = read_cells(cells, cell_format)
        columns[name] = _series(typed, cell_format.kind)
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
    return Parsed(pd.DataFrame(columns), pd.concat(failures, ignore_index=True) if failures else empty)


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
    return _series(typed, kind), unreadable


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
