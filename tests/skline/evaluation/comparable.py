"""Finds the rows that a champion can be compared on in a table that is one batch."""

import pandas as pd

from skline.contract.spec import Contract
from skline.evaluation.champion_rows import ComparableRows
from skline.split_rule import PartitionRule, Split
from skline.stages.comparable_rows import comparable_rows


def find_comparable_rows(
    table: pd.DataFrame, contract: Contract, split: Split, other: Contract, rule: PartitionRule | None
) -> ComparableRows:
    [found] = comparable_rows(
        lambda names: iter([table if names is None else table[list(names)]]), contract, split, other, rule
    )
    return found
