"""What `skline source check` shows of a source: its kind, snapshot, rows, columns, the first row, and the time."""

import time
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from skline.settings.source import Source
from skline.settings.source_kinds import kind_of
from skline.sources.kinds import table_source
from skline.sources.source import Snapshot
from skline.sources.tables import Say, say_nothing
from skline.sources.unreadable import describe_unreadable, separate_unreadable

#: Characters of a cell that are shown.
CELL_WIDTH = 60


class ColumnCheck(NamedTuple):
    """A column: its name, its Arrow type, its first cell, and how many cells are null."""

    name: str
    kind: str
    first: Any
    nulls: int


class SourceCheck(NamedTuple):
    """What was found.

    Attributes
    ----------
    kind : str
    uri : str
    snapshot : dict or None
        As `skline.sources.source.TableSource.snapshot` returns it.
    lineage : dict
        What the lineage records about this kind.
    n_rows : int
    columns : list of ColumnCheck
        In the order of the source.
    unreadable : DataFrame
        The rows that cannot be read, with the reasons in the column `value`.
    seconds : float
        To read the whole table.
    """

    kind: str
    uri: str
    snapshot: Snapshot | None
    lineage: dict[str, object]
    n_rows: int
    columns: list[ColumnCheck]
    unreadable: pd.DataFrame
    seconds: float


def check_table(source: Source, say: Say = say_nothing) -> SourceCheck:
    """Read the whole table once.

    Raises
    ------
    SklineError
        If it cannot be read, or has no rows.
    """
    started = time.perf_counter()
    with table_source(source, say).open() as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    seconds = time.perf_counter() - started
    n_rows = table.num_rows
    table, unreadable = separate_unreadable(table)
    columns = [
        ColumnCheck(name, str(table.column(name).type), table.column(name)[0].as_py(), table.column(name).null_count)
        for name in table.column_names
    ]
    title = kind_of(source.uri).title
    return SourceCheck(title, source.uri, opened.snapshot, opened.lineage, n_rows, columns, unreadable, seconds)


def describe(check: SourceCheck) -> str:
    """Return the check as text: a line for each fact, and a table of the columns."""
    state = "unknown without reading all of it" if check.snapshot is None else _facts(check.snapshot)
    lines = [
        f"source    {check.uri} ({check.kind})",
        f"snapshot  {state}",
        f"lineage   {_facts(check.lineage)}",
        f"table     {check.n_rows:,} rows and {len(check.columns)} columns, read in {check.seconds:.1f} s",
        *([] if check.unreadable.empty else [f"note      {describe_unreadable(check.unreadable)}"]),
        "",
    ]
    rows = [("column", "type", "null", "first row")]
    rows += [(each.name, each.kind, f"{each.nulls:,}", _cell(each.first)) for each in check.columns]
    widths = [max(len(row[index]) for row in rows) for index in range(3)]
    lines += [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {nulls:>{widths[2]}}  {first}" for name, kind, nulls, first in rows
    ]
    return "\n".join(lines)


def _facts(facts: dict[str, Any]) -> str:
    """Return names and values in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _cell(value: Any) -> str:
    """Return a cell as one short line."""
    text = "null" if value is None else " ".join(str(value).split())
    return text if len(text) <= CELL_WIDTH else f"{text[: CELL_WIDTH - 1]}…"
