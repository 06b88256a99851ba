"""Values of text columns that no training row has: many of them are a sign of another encoding, or of other data."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from skline.contract.spec import Contract
from skline.scoring.string_column import StringColumn

#: Share and number of unseen values from which a column is reported. New values appear now and then; a jump is more.
REPORTED_SHARE, REPORTED_CELLS = 0.05, 10


class Unseen(NamedTuple):
    """Cells of a column with values that no training row has, and one of these values."""

    cells: int
    example: str


def seen_values(profile: Mapping[str, Any], contract: Contract) -> dict[str, frozenset[str]]:
    """Return the values of the training rows, for each open set of which the data profile lists all."""
    described = profile.get("columns", {})
    open_sets = [column.name for column in contract.inputs if column.kind == "string" and column.choices is None]
    return {
        name: frozenset(described[name]["categories"])
        for name in open_sets
        if described.get(name, {}).get("other") == 0
    }


def count_unseen(columns: Mapping[str, Any], seen: Mapping[str, frozenset[str]]) -> dict[str, Unseen]:
    """Count the unseen values of some rows, by column."""
    found = {}
    for name, values in seen.items():
        column = columns.get(name)
        if not isinstance(column, StringColumn):
            continue
        is_new = np.array([value is not None and value not in values for value in column.values], dtype=bool)
        if is_new.any() and (cells := np.flatnonzero(is_new[column.codes])).size:
            found[name] = Unseen(cells.size, str(column.values[column.codes[cells[0]]]))
    return found


def add_up(parts: Iterable[Mapping[str, Unseen]]) -> dict[str, Unseen]:
    """Add up the counts of the parts of a table; the example is the first."""
    total: dict[str, Unseen] = {}
    for part in parts:
        for name, unseen in part.items():
            before = total.get(name, Unseen(0, unseen.example))
            total[name] = Unseen(before.cells + unseen.cells, before.example)
    return total


def describe_unseen(total: Mapping[str, Unseen], rows: int) -> list[str]:
    """Return a remark about each column with many unseen values."""
    return [
        f"{name}: {unseen.cells:,} of {rows:,} values, such as {unseen.example[:60]!r}, are in none of the training "
        "rows; is the table in another encoding, or from elsewhere?"
        for name, unseen in total.items()
        if unseen.cells >= max(REPORTED_CELLS, REPORTED_SHARE * rows)
    ]
