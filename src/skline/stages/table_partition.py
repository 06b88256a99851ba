"""Assign the rows of a table to parts, batch by batch, exactly as `skline.partition` does for all rows at once.

Two things depend on all rows: cut dates that move are times before the newest row, and the k-th of equal rows without
an id has a part of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Contract
from skline.partition import assign_parts, content_digests, identity_columns, newest_time, with_cuts
from skline.split_rule import Split
from skline.whole_table import EarlierCopies, Hashes, Positions

#: Returns the batches of a table, from the first one on: the columns that are named, or all. Each has a RangeIndex.
Frames = Callable[[Sequence[str] | None], Iterator[pd.DataFrame]]
#: Says which rows of a batch belong to the table; None: all.
Select = Callable[[pd.DataFrame], npt.NDArray[np.bool_]]


class TablePartition:
    """The rule of a split, settled for a table.

    Parameters
    ----------
    frames : function; see `Frames`
    contract : Contract
    split : Split
    folder : Path, optional
        For temporary files, which the caller removes; without one the table is a single batch.
    select : function, optional
        The newest row, from which cuts are counted, is one of these.
    """

    def __init__(
        self,
        frames: Frames,
        contract: Contract,
        split: Split,
        folder: Path | None = None,
        select: Select | None = None,
    ) -> None:
        self._contract = contract
        self._split = _settle_cuts(frames, contract, split, select)
        key = identity_columns(contract, split)
        is_by_content = split.kind != "time" and len(key) == len(contract.columns)
        self._copies = _count_copies(frames, contract, split, folder) if folder is not None and is_by_content else None

    def assign(self, rows: pd.DataFrame, first_row: int) -> npt.NDArray[np.int64]:
        """Return the part of each row of a batch, as its position in `PARTS`; `first_row` is that of the batch."""
        copies = None if self._copies is None else self._copies.of(first_row, len(rows))
        return assign_parts(rows, self._contract, self._split, copies)


def _settle_cuts(frames: Frames, contract: Contract, split: Split, select: Select | None) -> Split:
    """Return the rule with cuts that are dates."""
    if split.kind != "time" or not split.moves:
        return split
    newest = None
    for rows in frames(None if select else [contract.by_role("time").name]):
        times = rows[contract.by_role("time").name]
        found = newest_time(times if select is None else times[select(rows)], split)
        newest = max((each for each in (newest, found) if each is not None), default=None)
    return with_cuts(newest, split)


def _count_copies(frames: Frames, contract: Contract, split: Split, folder: Path) -> EarlierCopies:
    """Return how many equal rows are before each row that is hashed by its content."""
    n_rows = sum(len(rows) for rows in frames([contract.columns[0].name]))

    def contents() -> Iterator[tuple[Positions, Hashes]]:
        first_row = 0
        for rows in frames(None):
            positions, digests = content_digests(rows, contract, split)
            yield first_row + positions, digests
            first_row += len(rows)

    return EarlierCopies(contents(), n_rows, folder)
