"""Choose the golden rows: their predictions are stored at fit time and checked again on every load."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract

#: Known categories from which a category that training did not contain is derived.
MAX_SAMPLED_CATEGORIES = 200


def choose_golden_rows(
    train: pd.DataFrame | Mapping[str, pd.Series], holdout: pd.DataFrame, contract: Contract, n_rows: int, seed: int
) -> list[dict[str, Any]]:
    """Choose rows that cover the inputs a pipeline may receive.

    Parameters
    ----------
    train : DataFrame or mapping from column name to Series
        The rows that the pipeline was fitted on, or the values that each column of text has in them.
    holdout : DataFrame
        The rows to sample from.
    contract : Contract
    n_rows : int
        Number of sampled rows.
    seed : int

    Returns
    -------
    list of JSON rows
        The contract's example; for each column that allows it a row with a missing value and a row with a category
        that training did not contain; and the sampled rows of `holdout`.
    """
    sample = np.sort(np.random.default_rng(seed).permutation(len(holdout))[:n_rows])
    rows = to_json_rows(contract.inputs, holdout.iloc[sample])
    example = rows[0] | {column.name: column.example for column in contract.inputs if column.example is not None}
    edge_cases: list[dict[str, Any]] = [example]
    for column in contract.inputs:
        if column.nullable:
            edge_cases.append(example | {column.name: None})
        if column.kind == "string":
            unseen = unseen_category(train[column.name], column, contract.cell_format(column).missing)
            edge_cases += [] if unseen is None else [example | {column.name: unseen}]
    return [*edge_cases, *rows]


def unseen_category(seen: pd.Series, column: Column, missing: Collection[str] = ()) -> str | None:
    """Return a string that the contract allows and `seen` does not contain, or None if none was found.

    `missing` are the texts that stand for a missing value in this column, and are no category.
    """
    if column.choices is not None:
        return next((str(choice) for choice in column.choices if not (seen == choice).any()), None)
    known: set[str] = set(seen.dropna().unique())
    samples = sorted(known)[:MAX_SAMPLED_CATEGORIES]
    candidates = ["unseen", *(text[::-1] for text in samples), *(text[1:] + text[:1] for text in samples)]
    for text in candidates:
        long_enough = len(text) >= (column.min_length or 0)
        short_enough = column.max_length is None or len(text) <= column.max_length
        matches = column.pattern is None or re.fullmatch(column.pattern, text)
        if text not in known and text not in missing and long_enough and short_enough and matches:
            return text
    return None
