"""Find the test rows on which a champion can be compared: it was not fitted on them, and its contract can read them.

A champion looks better than it is on rows that it was fitted on. Which rows these are follows from the rule in its
artifact (`skline.split_rule.PartitionRule`), whatever rule the new model's table is split by. The stage assess finds
them batch by batch (`skline.stages.comparable_rows`).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from skline.contract.column_parsing import parse
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.partition import identity_columns
from skline.split_rule import HASH_VERSION, PartitionRule

Flags = npt.NDArray[np.bool_]
#: Columns that a message names.
MAX_NAMED = 3


class NotComparable(SklineError):
    """The champion and the new model cannot be compared on any row."""


@dataclass(frozen=True)
class ComparableRows:
    """The test rows that a champion can be compared on.

    Attributes
    ----------
    own, champion : DataFrame of shape (n_comparable, n_columns)
        The rows with the columns of the table, and with the champion's inputs as its own contract reads them.
    test : int
        Number of test rows.
    fitted : int
        Test rows that the champion was fitted on, in its training or its validation part.
    unreadable : int
        Other test rows that its contract rejects.
    other_kinds : tuple of str
        The columns that are of another kind in the champion's contract, with both kinds.
    """

    own: pd.DataFrame
    champion: pd.DataFrame
    test: int
    fitted: int
    unreadable: int
    other_kinds: tuple[str, ...]

    @classmethod
    def of_batches(cls, batches: Sequence["ComparableRows"]) -> Self:
        """Return the rows of all batches of a table."""
        return cls(
            own=pd.concat([each.own for each in batches], ignore_index=True),
            champion=pd.concat([each.champion for each in batches], ignore_index=True),
            test=sum(each.test for each in batches),
            fitted=sum(each.fitted for each in batches),
            unreadable=sum(each.unreadable for each in batches),
            other_kinds=batches[0].other_kinds,
        )

    def describe(self) -> str:
        """Say how many test rows can be compared, and why the others cannot."""
        reasons = []
        if self.fitted:
            reasons.append(f"the champion was fitted on {self.fitted:,}")
        if self.unreadable:
            kinds = ", ".join(self.other_kinds[:MAX_NAMED]) + (", …" if len(self.other_kinds) > MAX_NAMED else "")
            reasons.append(f"its contract cannot read {self.unreadable:,}" + (f" ({kinds})" if kinds else ""))
        if not reasons:
            return f"all {self.test:,} test rows"
        return f"{len(self.own):,} of {self.test:,} test rows: {' and '.join(reasons)}"


def columns_to_read(
    names: Collection[str], contract: Contract, other: Contract, rule: PartitionRule | None
) -> tuple[Column, ...]:
    """Return the columns that the champion's contract and rule need of a table.

    Parameters
    ----------
    names : collection of str
        The columns of the table.
    contract : Contract
        Of the new model.
    other : Contract
        Of the champion.
    rule : PartitionRule or None
        Of the champion; None if its artifact has none.

    Raises
    ------
    NotComparable
        If the champion has another target, does not tell which rows it was fitted on, or needs columns that `contract`
        does not have.
    """
    if (other.target.name, other.task, other.classes) != (contract.target.name, contract.task, contract.classes):
        raise NotComparable(
            f"it predicts {other.target.name} {other.classes or other.task}, this model {contract.target.name} "
            f"{contract.classes or contract.task}"
        )
    if rule is None or (rule.hash_version != HASH_VERSION and rule.split.kind != "time"):
        raise NotComparable(
            "its artifact does not tell which rows it was fitted on: it is of "
            + ("a version of skline that did not store this" if rule is None else f"hash version {rule.hash_version}")
        )
    columns = {column.name: column for column in (*other.inputs, *identity_columns(other, rule.split))}
    if missing := [name for name in columns if name not in names]:
        listed = f"{'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}"
        raise NotComparable(f"it needs the {listed}, which the contract of this model no longer has")
    return tuple(columns.values())


def read_by_contract(
    rows: pd.DataFrame, contract: Contract, other: Contract, columns: Iterable[Column]
) -> tuple[pd.DataFrame, Flags, tuple[str, ...]]:
    """Read typed rows of one contract as another contract reads its table; no value is coerced.

    Parameters
    ----------
    rows : DataFrame of shape (n, n_columns)
        In the dtypes of `contract`.
    contract, other : Contract
    columns : iterable of Column
        The columns of `other` to read; `rows` has them all.

    Returns
    -------
    read : DataFrame of shape (n, number of columns)
        Integers and booleans are float64 where a cell is missing or unreadable.
    readable : bool array of shape (n,)
        False where a value is not of the kind that `other` declares, or is missing where it must not be.
    other_kinds : tuple of str
        The columns that are of another kind there.
    """
    read: dict[str, pd.Series] = {}
    readable = np.ones(len(rows), dtype=bool)
    other_kinds = []
    for column in columns:
        values, kind = rows[column.name], contract[column.name].kind
        if kind != column.kind:
            other_kinds.append(f"{column.name} is {column.kind} there and {kind} here")
            if kind == "boolean":
                values = values.astype("boolean")  # float64 if cells may be missing, which would be read as numbers
            cells = pa.Table.from_pandas(values.to_frame(column.name), preserve_index=False)
            values, failures = _parse_one(cells, column, other)
            readable[failures] = False
        if not column.nullable:
            readable &= values.notna().to_numpy()
        read[column.name] = values.reset_index(drop=True)
    return pd.DataFrame(read), readable, tuple(other_kinds)


def _parse_one(cells: pa.Table, column: Column, contract: Contract) -> tuple[pd.Series, npt.NDArray[np.int64]]:
    """Return the values of a table's only column, and the positions of unreadable cells."""
    parsed = parse(cells, {column.name: contract.cell_format(column)})
    return parsed.frame[column.name], parsed.failures["row"].to_numpy(dtype=np.int64)
