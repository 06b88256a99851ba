"""Look up the inputs of a part of a table that the table does not have."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skline.contract.frames import to_storage
from skline.contract.spec import Column, Contract, Value
from skline.lookups.online import Lookups, failure_message
from skline.scoring.code_writer import Array
from skline.scoring.string_column import StringColumn

#: Numbers of rows by look-up and outcome.
Outcomes = dict[str, dict[str, int]]


class LookedUpPart(NamedTuple):
    """The inputs of the rows that can be scored, and why the others cannot.

    Attributes
    ----------
    columns : dict of str to array or StringColumn
        All inputs, of the kept rows.
    kept : int64 array
        Positions of the kept rows among the rows that were looked up.
    rejected : dict of int to str
        The reason, by position.
    outcomes : dict
        Numbers of rows by look-up and outcome.
    row_outcomes : dict of str to list of str
        The outcome of each look-up for each kept row.
    """

    columns: dict[str, Array | StringColumn]
    kept: npt.NDArray[np.int64]
    rejected: dict[int, str]
    outcomes: Outcomes
    row_outcomes: dict[str, list[str]]


def look_up(
    lookups: Lookups, contract: Contract, columns: Mapping[str, Array | StringColumn], size: int
) -> LookedUpPart:
    """Look up the inputs of rows.

    Parameters
    ----------
    lookups : Lookups
    contract : Contract
    columns : mapping of str to array or StringColumn of shape (size,)
        The inputs that the table has.
    size : int
        Number of rows.

    Raises
    ------
    SklineError
        If a store fails: scores without its values would be others than those of the service.
    """
    found = lookups.find({name: plain_keys(columns[each.key]) for name, each in contract.lookups.items()})
    rejected: dict[int, str] = {}
    filled: dict[str, Array | StringColumn] = dict(columns)
    for name, results in found.items():
        lookup = contract.lookups[name]
        for position, result in enumerate(results):
            if result.outcome == "invalid" or (result.outcome != "found" and lookup.fallback == "error"):
                rejected.setdefault(position, failure_message(name, result.outcome, lookup.key))
    kept = np.delete(np.arange(size), list(rejected))
    if rejected:
        filled = {name: values[kept] for name, values in filled.items()}
    for name, results in found.items():
        for column in contract.columns_of_lookup(name).values():
            filled[column.name] = _to_column([results[position].values[column.name] for position in kept], column)
    outcomes: Outcomes = {
        name: dict(Counter(str(result.outcome) for result in results)) for name, results in found.items()
    }
    row_outcomes = {name: [str(results[position].outcome) for position in kept] for name, results in found.items()}
    return LookedUpPart(filled, kept, dict(sorted(rejected.items())), outcomes, row_outcomes)


def plain_keys(values: Array | StringColumn) -> list[Value]:
    """Return keys as plain values: None where missing, whole numbers as int."""
    if isinstance(values, StringColumn):
        return list(values)
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else int(value) for value in values.tolist()]
    return list(values.tolist())


def _to_column(values: list[Value], column: Column) -> Any:
    """Convert plain values to the form in which columns are scored."""
    if column.kind != "string":
        return to_storage(values, column.storage)
    codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
    texts: list[Any] = list(codes)
    return StringColumn(texts, np.array([codes[value] for value in values], dtype=np.int32))


def add_up(parts: Iterable[Outcomes]) -> Outcomes:
    """Add the numbers of several parts."""
    total: dict[str, Counter[str]] = {}
    for part in parts:
        for name, outcomes in part.items():
            total.setdefault(name, Counter()).update(outcomes)
    return {name: dict(outcomes) for name, outcomes in total.items()}


def describe_lookups(outcomes: Outcomes) -> list[str]:
    """Return a remark for each look-up that did not find the values of all rows."""
    remarks = []
    for name, counts in outcomes.items():
        total, others = sum(counts.values()), {key: count for key, count in counts.items() if key != "found"}
        if others:
            listed = ", ".join(f"{key} {count:,}" for key, count in sorted(others.items()))
            remarks.append(
                f"the look-up {name} found the values of {counts.get('found', 0):,} of {total:,} rows ({listed})"
            )
    return remarks
