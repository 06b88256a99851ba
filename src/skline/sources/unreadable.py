"""Rows of a source that cannot be read as such, like a message that is not JSON: they are rows with a reason.

A source gives them as rows without values, with their reason in a column of their own. The stage ingest passes the
reason on, and the stage validate rejects the row: it is counted, and no row is lost in silence.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.column_parsing import WHOLE_ROW
from skline.errors import SklineError
from skline.sources.tables import Say, say_nothing

#: The column with the reason; null in all other rows. It is there if the source has such a row.
UNREADABLE = "(unreadable)"
#: The rule that such a row breaks.
UNREADABLE_RULE = "cannot be read"


def separate_unreadable(table: Any) -> tuple[Any, pd.DataFrame]:
    """Separate the rows that were read from those that cannot be.

    Parameters
    ----------
    table : pyarrow.Table or pyarrow.RecordBatch

    Returns
    -------
    readable : as `table`
        Without the column of reasons.
    unreadable : DataFrame
        row (position in `table`), and value, the reason.
    """
    reasons = table.column(UNREADABLE) if UNREADABLE in table.schema.names else pa.nulls(table.num_rows, pa.string())
    is_unreadable = pc.is_valid(reasons)
    rows = np.flatnonzero(np.asarray(is_unreadable))
    unreadable = pd.DataFrame({"row": rows, "value": pd.Series(reasons.filter(is_unreadable).to_pylist(), dtype="str")})
    if UNREADABLE not in table.schema.names:
        return table, unreadable
    names = [name for name in table.schema.names if name != UNREADABLE]
    return table.select(names).filter(pc.invert(is_unreadable)), unreadable


def insert_unreadable(
    table: pd.DataFrame, unparsed: pd.DataFrame, unreadable: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the rows that cannot be read back to their places, without values; returns the arguments if there are none.

    Parameters
    ----------
    table : DataFrame of shape (n, columns)
        The other rows.
    unparsed : DataFrame
        Cells: row (position in `table`), column, value, rule.
    unreadable : DataFrame of shape (m, 2)
        See `separate_unreadable`.

    Returns
    -------
    table : DataFrame of shape (n + m, columns)
        Whole numbers and booleans are float64.
    unparsed : DataFrame
        Rows count from 0 in this table; the added ones have the column WHOLE_ROW.
    """
    if unreadable.empty:
        return table, unparsed
    n_rows = len(table) + len(unreadable)
    places = np.delete(np.arange(n_rows), unreadable["row"].to_numpy())
    closed = [name for name, dtype in table.dtypes.items() if str(dtype) in ("int64", "bool")]
    whole = table.astype(dict.fromkeys(closed, "float64")).set_axis(places, axis="index").reindex(np.arange(n_rows))
    cells = unparsed.assign(row=places[unparsed["row"].to_numpy(dtype=np.int64)])
    added = unreadable.assign(column=WHOLE_ROW, rule=UNREADABLE_RULE)[list(cells.columns)].astype(cells.dtypes)
    return whole, pd.concat([cells, added], ignore_index=True)


def describe_unreadable(unreadable: pd.DataFrame) -> str:
    """Return how many rows cannot be read, and the first reason."""
    count = len(unreadable)
    return f"{count:,} row{'s' * (count != 1)} cannot be read, such as {unreadable['value'].iloc[0]}"


def require_readable(table: pa.Table) -> pa.Table:
    """Return a table without the column of reasons; SklineError if a row cannot be read."""
    readable, unreadable = separate_unreadable(table)
    if not unreadable.empty:
        raise SklineError(f"{describe_unreadable(unreadable)}; correct the source")
    return readable


@contextmanager
def readable_rows(path: Path, say: Say = say_nothing) -> Iterator[Path]:
    """Yield a file without the rows that cannot be read: the file itself, or a temporary copy."""
    import pyarrow.parquet as pq

    if path.suffix != ".parquet" or UNREADABLE not in pq.read_schema(path).names:
        yield path
        return
    table, unreadable = separate_unreadable(pq.read_table(path))
    say(f"{describe_unreadable(unreadable)}; they are left out here, and the pipeline puts them in quarantine")
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        pq.write_table(table, Path(folder) / path.name)
        yield Path(folder) / path.name
