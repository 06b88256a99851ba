"""Point-in-time correct joins for training: each row gets the values that a look-up at its time would have found."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.lookup import Lookup
from skline.contract.spec import Column, Contract
from skline.lookups.history import History

#: Position in a history that stands for no row.
NONE = -1


class Joined(NamedTuple):
    """The table with the looked-up columns, in the contract's order, and the rows by look-up and outcome."""

    table: pd.DataFrame
    outcomes: dict[str, dict[str, int]]


def join_lookups(table: pd.DataFrame, contract: Contract, histories: Mapping[str, History]) -> Joined:
    """Add the looked-up columns to a table.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The contract's other columns, typed.
    contract : Contract
    histories : mapping of str to History
        By the name of the look-up.

    Returns
    -------
    Joined
        With the dtypes of `Column.storage`, or float64 where an integer or boolean is missing.
    """
    times = table[contract.by_role("time").name]
    columns = {name: table[name] for name in table.columns}
    outcomes = {}
    for name, lookup in contract.lookups.items():
        history = histories[name]
        entries, is_stale = find_entries(table[lookup.key], times, history, lookup)
        usable = np.where(is_stale, NONE, entries)
        for column in contract.columns_of_lookup(name).values():
            columns[column.name] = _stored(history.values[column.name], usable, column)
        labels = np.where(is_stale, "stale", np.where(entries == NONE, "absent", "found"))
        outcomes[name] = dict(Counter(labels.tolist()))
    ordered = [column.name for column in contract.columns]
    return Joined(pd.DataFrame({name: columns[name] for name in ordered}), outcomes)


def find_entries(
    keys: pd.Series, times: pd.Series, history: History, lookup: Lookup
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Find the row of the history that was the newest one of each key at each time.

    Parameters
    ----------
    keys, times : Series of shape (n,)
        A row without key or time finds nothing.
    history : History
    lookup : Lookup
        Its delay and its maximum age are the rules of a look-up at a prediction.

    Returns
    -------
    entries : int64 array of shape (n,)
        Positions in the history, NONE where there is none.
    is_stale : bool array of shape (n,)
        Where the row is too old.
    """
    is_known = (keys.notna() & times.notna()).to_numpy(copy=True)
    if keys.dtype == "float64":  # whole numbers of which some are missing
        is_known &= (keys % 1 == 0).to_numpy()
    key_dtype: Any = history.keys.dtype
    rows = pd.DataFrame(
        {
            "row": np.flatnonzero(is_known),
            "key": keys[is_known].astype(key_dtype).to_numpy(),
            "time": times[is_known].astype("datetime64[us]").to_numpy(),
        }
    ).sort_values("time", kind="stable")
    available = (history.times + pd.Timedelta(seconds=lookup.delay)).astype("datetime64[us]")
    stored = pd.DataFrame({"key": history.keys, "time": available, "entry": np.arange(len(history.keys))})
    rows["key"], stored["key"] = rows["key"].astype(key_dtype), stored["key"].astype(key_dtype)
    merged = pd.merge_asof(rows, stored, on="time", by="key", direction="backward")
    entries = np.full(len(keys), NONE, dtype=np.int64)
    entries[merged["row"].to_numpy()] = merged["entry"].fillna(NONE).to_numpy(dtype=np.int64)
    is_stale = np.zeros(len(keys), dtype=np.bool_)
    if lookup.max_age is not None:
        found = np.flatnonzero(entries != NONE)
        ages = times.iloc[found].to_numpy() - history.times.to_numpy()[entries[found]]
        is_stale[found] = ages > np.timedelta64(round(lookup.max_age * 1_000_000), "us")
    return entries, is_stale


def _stored(values: pd.Series, entries: npt.NDArray[np.int64], column: Column) -> pd.Series:
    """Return the values at positions of the history, missing at NONE, in the dtype that tables have."""
    if values.dtype == "bool":
        values = values.astype("float64")
    taken = values.reindex(pd.Index(entries)).reset_index(drop=True)
    is_open = column.kind in ("integer", "boolean") and bool(taken.isna().any())
    stored: pd.Series = taken.astype(cast("Any", "float64" if is_open else column.storage))
    return stored
