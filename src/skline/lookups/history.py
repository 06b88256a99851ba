"""The history of a look-up: a table of keys, times and values, read as the contract reads any table."""

from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from skline.contract.column_parsing import parse
from skline.contract.spec import CellFormat, Contract
from skline.counting import counted
from skline.errors import SklineError


class History(NamedTuple):
    """The history in the order of time; all have shape (n,).

    Attributes
    ----------
    keys : Series of int64 or str
    times : Series of datetime64[us]
        From when on the values of a row were true.
    values : DataFrame
        By the names of the contract's columns, with the dtypes of `column_parsing.Parsed`.
    """

    keys: pd.Series
    times: pd.Series
    values: pd.DataFrame


def columns_to_read(contract: Contract, name: str) -> list[str]:
    """Return the columns that a history has to have: key, time and values."""
    lookup = contract.lookups[name]
    return list(dict.fromkeys([lookup.key, lookup.time, *contract.values_of_lookup(name).values()]))


def read_history(table: pa.Table, contract: Contract, name: str) -> History:
    """Read the cells of a history.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `columns_to_read`, as text or as stored types.
    contract : Contract
    name : str
        Of the look-up.

    Raises
    ------
    SklineError
        If a column is missing, a cell cannot be read, a key or a time is missing, or two rows have the same key and
        time: it would be undefined which of them counts.
    """
    lookup = contract.lookups[name]
    absent = [column for column in columns_to_read(contract, name) if column not in table.column_names]
    if absent:
        raise SklineError(
            f"the history of lookups.{name} lacks {', '.join(map(repr, absent))}; it has "
            f"{', '.join(table.column_names)}. Add it, or correct key, time or the value's name in lookup=…"
        )
    key_format = {lookup.key: contract.cell_format(contract[lookup.key])}
    keys = _parsed(pa.table({lookup.key: table[lookup.key]}), key_format, name)
    times = _parsed(pa.table({lookup.time: table[lookup.time]}), {lookup.time: CellFormat("datetime")}, name)
    stored = {column: table[value] for column, value in contract.values_of_lookup(name).items()}
    formats = {column: contract.cell_format(each) for column, each in contract.columns_of_lookup(name).items()}
    values = _parsed(pa.table(stored), formats, name)
    index = pd.DataFrame({"key": keys[lookup.key], "time": times[lookup.time]})
    _require_index(index, name, lookup.key, lookup.time)
    order = index["time"].argsort(kind="stable").to_numpy()
    index, values = index.iloc[order].reset_index(drop=True), values.iloc[order].reset_index(drop=True)
    return History(index["key"], index["time"], values)


def _parsed(table: pa.Table, formats: dict[str, CellFormat], name: str) -> pd.DataFrame:
    """Parse columns; SklineError that names the first cell that cannot be read."""
    parsed = parse(table, formats)
    if len(parsed.failures):
        first = parsed.failures.iloc[0]
        raise SklineError(
            f"the history of lookups.{name} has {counted(len(parsed.failures), 'unreadable cell')}: in row "
            f"{first['row']}, {first['column']} is {first['value']!r}, which {first['rule']}; correct them"
        )
    return parsed.frame


def _require_index(index: pd.DataFrame, name: str, key: str, time: str) -> None:
    """Raise SklineError if a key or a time is missing, or a pair of them is there twice."""
    for column, label in (("key", key), ("time", time)):
        missing = index[column].isna()
        if missing.any():
            raise SklineError(
                f"the history of lookups.{name} has {counted(int(missing.sum()), 'row')} without {label!r}, first row "
                f"{missing.idxmax()}; remove or complete them"
            )
    repeated = index.duplicated()
    if repeated.any():
        first = index[repeated].iloc[0]
        raise SklineError(
            f"the history of lookups.{name} has {counted(int(repeated.sum()), 'row')} with the key and time of another "
            f"row, first {key} {first['key']} at {first['time']}; keep one row for each key and time"
        )
