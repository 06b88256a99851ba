"""Find the test rows of the validated table that a champion can be compared on, batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.evaluation.champion_rows import ComparableRows, columns_to_read, read_by_contract
from skline.partition import FITTED_PARTS, is_part
from skline.split_rule import PartitionRule, Split
from skline.stages.table_partition import Frames, TablePartition


def comparable_rows(
    frames: Frames,
    contract: Contract,
    split: Split,
    other: Contract,
    rule: PartitionRule | None,
    folder: Path | None = None,
) -> Iterator[ComparableRows]:
    """Yield the test rows of each batch that the champion can be compared on.

    Parameters
    ----------
    frames : function
        Returns the batches of the validated rows, with the columns of `contract` in its dtypes.
    contract : Contract
        Of the new model.
    split : Split
        Of the new model.
    other : Contract
        Of the champion.
    rule : PartitionRule or None
        Of the champion; None if its artifact has none.
    folder : Path, optional
        For temporary files; without one the table is a single batch.

    Raises
    ------
    NotComparable
        See `columns_to_read`.
    """
    columns = columns_to_read(next(frames(None)).columns, contract, other, rule)
    assert rule is not None  # noqa: S101 (columns_to_read has raised)
    own_partition = TablePartition(frames, contract, split, folder)
    champion_frames = _readable_frames(frames, contract, other, columns)
    champion_partition = TablePartition(champion_frames, other, rule.split, folder)
    first_row = n_readable = 0
    for rows in frames(None):
        read, readable, other_kinds = read_by_contract(rows, contract, other, columns)
        fitted = np.zeros(len(rows), dtype=bool)
        parts = champion_partition.assign(read.loc[readable].reset_index(drop=True), n_readable)
        fitted[readable] = is_part(parts, *FITTED_PARTS)
        is_test = is_part(own_partition.assign(rows, first_row), "test")
        comparable = is_test & readable & ~fitted
        inputs = read.loc[comparable, other.input_names].astype(
            {column.name: column.storage for column in other.inputs}
        )
        yield ComparableRows(
            own=rows.loc[comparable].reset_index(drop=True),
            champion=inputs.reset_index(drop=True),
            test=int(is_test.sum()),
            fitted=int((is_test & fitted).sum()),
            unreadable=int((is_test & ~readable).sum()),
            other_kinds=other_kinds,
        )
        first_row += len(rows)
        n_readable += int(readable.sum())


def _readable_frames(frames: Frames, contract: Contract, other: Contract, columns: Sequence[Column]) -> Frames:
    """Return the batches of the rows that the champion's contract can read, with its columns."""

    def readable_frames(names: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        for rows in frames(None):
            read, readable, _ = read_by_contract(rows, contract, other, columns)
            kept = read.loc[readable].reset_index(drop=True)
            yield kept if names is None else kept[list(names)]

    return readable_frames
