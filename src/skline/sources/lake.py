"""What tables of Delta Lake and Iceberg have in common: the state that is read, the columns, the order of the rows.

Both keep no order of rows. They are sorted here, by `source.lake.order` and then by all columns, so that a state of
the table is the same table each time, however its files are laid out.
"""

import datetime as dt
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source_lake import LakeSettings
from skline.sources.source import OpenedTable, Snapshot, Stream, StreamedSource
from skline.sources.tables import read_source

#: States of a table that a message lists.
LISTED = 5


class LakeRows(NamedTuple):
    """Rows of a table.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the columns that are read.
    batches : iterable of pyarrow.RecordBatch
    columns : list of str
        All columns of the table.
    lineage : dict
    snapshot : dict
    """

    schema: pa.Schema
    batches: Iterable[pa.RecordBatch]
    columns: list[str]
    lineage: dict[str, object]
    snapshot: Snapshot


class LakeSource(StreamedSource):
    """A table of a lake. A kind says how it is found and read."""

    no_rows = "the table has no rows, or none for source.lake.where"

    @property
    def settings(self) -> LakeSettings:
        """The section `source.lake`."""
        return self.source.lake

    @property
    def incremental(self) -> bool:
        """Whether what was added later can be read alone: that needs all of the latest state."""
        return self.settings.version is None and self.settings.as_of is None and self.settings.where is None

    @abstractmethod
    def rows(self, columns: Sequence[str] | None, since: Snapshot | None) -> LakeRows:
        """Open the table.

        Parameters
        ----------
        columns : sequence of str or None
            The columns to read, of which the table may lack some; None: all.
        since : dict or None
            An earlier snapshot: only the rows that were added after it.

        Raises
        ------
        SklineError
            If the table, or the requested state of it, cannot be read; also while the batches are read.
        """

    @contextmanager
    def open(self, columns: Sequence[str] | None = None, since: Snapshot | None = None) -> Iterator[OpenedTable]:
        """Open the table; only the requested columns and those of `source.lake.order` are fetched."""
        rows = self.rows(None if columns is None else list(dict.fromkeys([*columns, *self.settings.order])), since)
        with self.written(self._sorted(rows)) as table:
            cells, _ = read_source(table.path, self.source, columns, self.say)
            yield OpenedTable(cells.schema, iter(cells.to_batches()), rows.columns, table.lineage, table.snapshot)

    @contextmanager
    def stream(self, since: Snapshot | None = None) -> Iterator[Stream]:
        """Read and sort all columns."""
        yield self._sorted(self.rows(None, since))

    def _sorted(self, rows: LakeRows) -> Stream:
        """Read the rows, and sort them."""
        table = sort_rows(pa.Table.from_batches(rows.batches, rows.schema), self.settings.order)
        return Stream(table.schema, iter(table.to_batches()), rows.lineage, rows.snapshot)


def sort_rows(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """Sort by the columns of `order`, and then by every column that has an order.

    Raises
    ------
    SklineError
        If the table lacks a column of `order`.
    """
    if absent := [name for name in order if name not in table.column_names]:
        raise SklineError(f"source.lake.order names {absent}, which the table lacks; it has {table.column_names}")
    keys = [*order, *(field.name for field in table.schema if field.name not in order and _has_order(field.type))]
    return table.sort_by([(name, "ascending") for name in keys]) if keys else table


def selected(columns: Sequence[str], requested: Sequence[str] | None) -> list[str]:
    """Return the columns of a table that are read, in its order; at least one, so that rows can be counted."""
    chosen = [name for name in columns if requested is None or name in requested]
    return chosen or list(columns[:1])


def plain_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Convert batches to the declared types, such as views of text to text."""
    return (batch.select(schema.names).cast(schema) for batch in batches)


def from_milliseconds(milliseconds: int) -> dt.datetime:
    """Return the moment of a commit."""
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def listing(states: Sequence[tuple[int, dt.datetime]]) -> str:
    """Return the latest states of a table as text: their numbers and times."""
    if not states:
        return "none"
    shown = [f"{number} ({moment:%Y-%m-%d %H:%M:%S} UTC)" for number, moment in states[-LISTED:]]
    earlier = f"{len(states) - LISTED} earlier ones, " if len(states) > LISTED else ""
    return earlier + ", ".join(shown)


def _has_order(kind: Any) -> bool:
    """Whether values of an Arrow type can be sorted."""
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
                or pa.types.is_binary(kind) or pa.types.is_decimal(kind))  # fmt: skip
