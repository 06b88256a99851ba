"""Choose the golden rows: their answers are written down when a pipeline is fitted, and asked again ever after."""

import re
from typing import Any

import numpy as np
import pandas as pd

from skline.contract.frames import to_json_rows
from skline.contract.spec import Column, Contract


def golden_rows(
    train: pd.DataFrame, others: pd.DataFrame, contract: Contract, n_rows: int, seed: int
) -> list[dict[str, Any]]:
    """Choose rows that show what the pipeline can meet.

    Returns
    -------
    list of JSON rows: the contract's example, rows of `others` drawn by `seed`, and for each column that allows
    it a row with a missing value and a row with a category that training never saw.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(others))[:n_rows])
    rows = to_json_rows(contract.inputs, others.iloc[drawn])
    base = rows[0] | {column.name: column.example for column in contract.inputs if column.example is not None}
    edges: list[dict[str, Any]] = [base]
    for column in contract.inputs:
        if column.nullable:
            edges.append(base | {column.name: None})
        if column.kind == "string" and (unseen := unseen_category(train[column.name], column)) is not None:
            edges.append(base | {column.name: unseen})
    return [*edges, *rows]


def unseen_category(seen: pd.Series, column: Column) -> str | None:
    """Return a string that the contract allows and `seen` does not hold, or None if none was found."""
    if column.choices is not None:
        return next((str(choice) for choice in column.choices if not (seen == choice).any()), None)
    known: set[str] = set(seen.dropna().unique())
    samples = sorted(known)[:200]
    candidates = ["unseen", *(text[::-1] for text in samples), *(text[1:] + text[:1] for text in samples)]
    for text in candidates:
        long_enough = len(text) >= (column.min_length or 0)
        short_enough = column.max_length is None or len(text) <= column.max_length
        matches = column.pattern is None or re.fullmatch(column.pattern, text)
        if text not in known and long_enough and short_enough and matches:
            return text
    return None
