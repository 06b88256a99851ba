"""What every kind of source has in common: a table, where it came from, and a snapshot by which a change is seen.

A kind is a subclass of `TableSource` in a file of its own. Most are a `StreamedSource`: they yield Arrow record
batches, and everything else is here. `skline.sources.kinds` chooses the class by the address.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.errors import SklineError
from skline.files import sha256
from skline.settings.source import Source
from skline.settings.source_kinds import kind_of
from skline.sources.tables import Say, open_rows, say_nothing
from skline.sources.unreadable import UNREADABLE

#: The state of a source, as JSON: digests of files, ETags of objects, offsets of a topic, the newest row of a table.
#: Two equal snapshots are the same rows.
Snapshot = dict[str, Any]


@dataclass(frozen=True)
class OpenedTable:
    """A table that is being read.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the batches: the requested columns that the source has. Cells of text files are text; the contract gives
        their types.
    batches : iterator of pyarrow.RecordBatch
        The rows, in the order of the source.
    columns : list of str
        All columns of the source.
    lineage : dict
        What reports/lineage.json records: bytes, sha256, and what the kind adds.
    snapshot : dict or None
        The state that was read; None if the kind cannot tell it.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    columns: list[str]
    lineage: dict[str, object]
    snapshot: Snapshot | None


@dataclass(frozen=True)
class LocalTable:
    """A table as one file on this machine; see `OpenedTable` for `lineage` and `snapshot`."""

    path: Path
    lineage: dict[str, object]
    snapshot: Snapshot | None


@dataclass(frozen=True)
class Stream:
    """A table as record batches.

    Attributes
    ----------
    schema : pyarrow.Schema
        Settled before the first batch; every batch has it.
    batches : iterator of pyarrow.RecordBatch
        All columns of the source.
    lineage : dict
        What the kind adds to the lineage. It may be filled while the batches are read: it is used after the last one.
    snapshot : dict or None
        The state that is read, settled before the first batch.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    lineage: dict[str, object] = field(default_factory=dict)
    snapshot: Snapshot | None = None


class TableSource(ABC):
    """A table somewhere.

    Parameters
    ----------
    source : Source
        The section `source` of params.yaml.
    say : function of a text, optional
        Gets what a person should know about how the table is read.
    """

    def __init__(self, source: Source, say: Say = say_nothing) -> None:
        self.source = source
        self.say = say

    @property
    def incremental(self) -> bool:
        """Whether `since` can be given: only what is new is read then."""
        return False

    @abstractmethod
    def local(self, since: Snapshot | None = None) -> AbstractContextManager[LocalTable]:
        """Return a context in which the table is a file on this machine.

        Parameters
        ----------
        since : dict, optional
            An earlier snapshot: only what is new since then. Kinds that are `incremental` take it.

        Raises
        ------
        SklineError
            If the source cannot be read; the message is one line, without secrets.
        """

    @abstractmethod
    def snapshot(self) -> Snapshot | None:
        """Return the present state of the source; None if it can only be known by reading all of it.

        Raises
        ------
        SklineError
            If the source cannot be reached.
        """

    @contextmanager
    def first_of_several(self) -> Iterator[Path | None]:
        """Yield the first of several files of text, whose dialect holds for all; None for any other source."""
        yield None

    @contextmanager
    def open(self, columns: Sequence[str] | None = None, since: Snapshot | None = None) -> Iterator[OpenedTable]:
        """Open the table.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns to read; those that the source lacks are left out. By default all. `UNREADABLE` has the reasons
            of rows that cannot be read.
        since : dict, optional
            See `local`.

        Raises
        ------
        SklineError
            If the source cannot be read, or has no rows.
        """
        if since is not None and not self.incremental:
            raise SklineError(f"{kind_of(self.source.uri).title}: this kind of source cannot be read in parts")
        with self.local(since) as table, open_rows(table.path, self.source, columns, self.say) as rows:
            batches = _require_rows(rows.batches, table.path.name)
            names = [name for name in rows.columns if name != UNREADABLE]
            yield OpenedTable(rows.schema, batches, names, table.lineage, table.snapshot)


class NoRowsError(SklineError):
    """A source has no rows, or none that is new."""


class StreamedSource(TableSource):
    """A kind that yields record batches; they are written to a temporary Parquet file, in bounded memory."""

    #: What is said if there are no rows.
    no_rows = "the source returned no rows"

    @abstractmethod
    def stream(self, since: Snapshot | None = None) -> AbstractContextManager[Stream]:
        """Return a context in which the batches can be read; it closes connections. See `TableSource.local`."""

    @contextmanager
    def local(self, since: Snapshot | None = None) -> Iterator[LocalTable]:
        """Write the batches to a temporary Parquet file, which is deleted afterwards."""
        with self.stream(since) as stream, self.written(stream) as table:
            yield table

    @contextmanager
    def written(self, stream: Stream) -> Iterator[LocalTable]:
        """Write a stream to a temporary Parquet file, which is deleted afterwards; SklineError if it has no rows."""
        with tempfile.TemporaryDirectory(prefix="skline-") as folder:
            path = Path(folder) / "table.parquet"
            n_rows = write_batches(stream, path)
            if n_rows == 0:
                raise NoRowsError(self.no_rows)
            yield LocalTable(path, file_lineage(path) | stream.lineage, stream.snapshot)


def _require_rows(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """Pass the batches on; SklineError after the last one if there was no row."""
    n_rows = 0
    for batch in batches:
        n_rows += batch.num_rows
        yield batch
    if not n_rows:
        raise SklineError(f"{name} has no rows")


def write_batches(stream: Stream, path: Path) -> int:
    """Write a stream to a Parquet file, batch by batch; returns the number of rows."""
    import pyarrow.parquet as pq

    n_rows = 0
    with pq.ParquetWriter(path, stream.schema) as writer:
        for batch in stream.batches:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def file_lineage(path: Path) -> dict[str, object]:
    """Return what the lineage says about a file: its size in bytes, and its SHA-256."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
