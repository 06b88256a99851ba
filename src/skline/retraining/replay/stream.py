"""The rows of a replay in the order of time, and when the label of each of them arrives."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from skline.clock import naive_utc
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.logs.records import to_us
from skline.monitoring.reference import stored_column
from skline.retraining.matured import labels_complete_until

Positions = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Labelled rows in the order of time: those before the replayed period, then those of it.

    Attributes
    ----------
    contract : Contract
        With a column of role `time`, UTC.
    rows : DataFrame of shape (n, n_columns)
        With the contract's columns, its index from 0 to n - 1, sorted by time.
    start, end : datetime
        Of the replayed period, UTC: start ≤ time < end. Rows from `end` on are not in the stream.
    label_delay : timedelta
        Time from a prediction to its label.
    """

    contract: Contract
    rows: pd.DataFrame
    start: dt.datetime
    end: dt.datetime
    label_delay: dt.timedelta

    @classmethod
    def of(
        cls, table: pd.DataFrame, contract: Contract, start: dt.datetime, end: dt.datetime, label_delay: dt.timedelta
    ) -> "Stream":
        """Sort a table of validated rows by time, and leave out those from `end` on.

        Raises
        ------
        SklineError
            If the contract has no column of role `time`, or the table has no rows before or in the replayed period.
        """
        if not contract.with_role("time"):
            raise SklineError(
                "a replay needs the time of every row, and src/model/contract.py declares no column with role='time'"
            )
        name = contract.by_role("time").name
        rows = table[table[name] < naive_utc(end)].sort_values(name, kind="stable", ignore_index=True)
        stream = cls(contract, rows, start, end, label_delay)
        if not 0 < stream.first < len(rows):
            raise SklineError(
                f"a replay from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} needs rows before and in this period, "
                f"and the table has {stream.first:,} before and {len(rows) - stream.first:,} in it ({name})"
            )
        return stream

    @cached_property
    def times(self) -> Times:
        """Time of each row in microseconds since 1970, UTC; int64 of shape (n,)."""
        values = self.rows[self.contract.by_role("time").name].to_numpy(dtype="datetime64[us]")
        return values.astype(np.int64)

    @cached_property
    def first(self) -> int:
        """Position of the first row of the replayed period."""
        return int(np.searchsorted(self.times, to_us(self.start)))

    @property
    def live(self) -> slice:
        """The rows of the replayed period."""
        return slice(self.first, len(self.rows))

    @cached_property
    def truth(self) -> npt.NDArray[Any]:
        """The labels, shape (n,)."""
        return self.rows[self.contract.target.name].to_numpy()

    @cached_property
    def truth_numbers(self) -> npt.NDArray[np.float64]:
        """The labels as indices of their classes, or as numbers; float64 of shape (n,)."""
        return class_indices(self.truth, self.contract)

    @cached_property
    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """The inputs in the form in which monitoring has them, each of shape (n,)."""
        table = pa.Table.from_pandas(self.rows[self.contract.input_names], preserve_index=False)
        return {column.name: stored_column(table[column.name], column) for column in self.contract.inputs}

    def between(self, since: dt.datetime, until: dt.datetime) -> slice:
        """Return the rows of since ≤ time < until."""
        start, end = np.searchsorted(self.times, [to_us(since), to_us(until)])
        return slice(int(start), int(end))

    def labelled(self, rows: slice, asof: dt.datetime) -> Flags:
        """Return which rows have a label that arrived by a moment; bool of shape (length of the slice,)."""
        flags: Flags = self.times[rows] <= to_us(asof - self.label_delay)
        return flags

    def matured(self, horizon: dt.timedelta, since: dt.datetime | None, until: dt.datetime) -> Positions:
        """Return the rows of the replayed period that matured at since < time ≤ until.

        As in `skline.retraining.matured`: a row matures when it is as old as `horizon` and its label has arrived.
        """
        age = max(self.label_delay, horizon)
        start = 0 if since is None else int(np.searchsorted(self.times, to_us(since - age), side="right"))
        end = int(np.searchsorted(self.times, to_us(until - age), side="right"))
        return np.arange(max(start, self.first), max(end, self.first), dtype=np.intp)

    def training_rows(self, horizon: dt.timedelta, now: dt.datetime, window: dt.timedelta | None) -> Positions:
        """Return the rows of the table that a training at a moment has: all before the replay, and those that matured.

        With `window` those that are older than this, before the newest matured row, are left out, as `ingest` does.
        """
        matured = self.matured(horizon, None, labels_complete_until(now))
        chosen = np.concatenate([np.arange(self.first, dtype=np.intp), matured])
        if window is not None and len(matured):
            start = int(self.times[matured[-1]]) - int(window / dt.timedelta(microseconds=1))
            chosen = chosen[self.times[chosen] >= start]
        return chosen


def class_indices(values: npt.NDArray[Any], contract: Contract) -> npt.NDArray[np.float64]:
    """Return classes as their indices in the contract, and numbers as they are; float64 of shape (n,)."""
    if contract.classes is None:
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    for number, name in enumerate(contract.classes):
        numbers[values == name] = number
    return numbers
