"""Text or stored values → the contract's types as pandas holds them; what cannot be read is reported."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from skline.contract.cells import RULES, read_cells
from skline.contract.spec import Kind


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
    typed, bad = read_cells(cells, kind, written)
    return _series(typed, kind), bad


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
