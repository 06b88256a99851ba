"""Tables in batches of rows: how many rows a batch has, and Parquet files that are read and written batch by batch."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skline.errors import SklineError
from skline.files import atomic_write
from skline.project import how_to_get

#: Cells of a batch, and of a row group of the files that are written.
BATCH_CELLS, ROW_GROUP_CELLS = 1 << 21, 1 << 23
#: The numbers of rows are multiples of the first, and at most the second.
ROW_UNIT, MAX_ROWS = 1 << 10, 1 << 20
#: Bytes that are read at a time from a Parquet file: without it Arrow reads a row group.
BUFFER_BYTES = 1 << 20
#: Dtypes of integers and booleans, and the one that they have in a column with missing cells.
WIDENED, WIDE = frozenset({"int64", "bool", "float64"}), "float64"


def rows_per_batch(n_columns: int, cells: int = BATCH_CELLS) -> int:
    """Return the number of rows of a batch, so that it has about `cells` cells whatever the number of columns."""
    return min(max(cells // max(n_columns, 1) // ROW_UNIT * ROW_UNIT, ROW_UNIT), MAX_ROWS)


def rebatch(batches: Iterable[pa.RecordBatch], schema: pa.Schema, n_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of `n_rows`, the last of which may have fewer; a table without rows is one batch.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
    schema : pyarrow.Schema
        Of the batches.
    n_rows : int
    """
    pending: list[pa.RecordBatch] = []
    n_pending, is_empty = 0, True
    for batch in batches:
        pending.append(batch)
        n_pending += batch.num_rows
        if n_pending < n_rows:
            continue
        table = pa.Table.from_batches(pending, schema)
        whole = n_pending // n_rows * n_rows
        for start in range(0, whole, n_rows):
            yield _one_batch(table.slice(start, n_rows))
        is_empty = False
        pending, n_pending = table.slice(whole).to_batches(), n_pending - whole
    if n_pending or is_empty:
        yield _one_batch(pa.Table.from_batches(pending, schema))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return a table as one batch."""
    return pa.RecordBatch.from_arrays([_joined(column) for column in table.columns], schema=table.schema)


def _joined(column: pa.ChunkedArray) -> pa.Array:
    """Return the chunks of a column as one array."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file that an earlier stage wrote, in batches of `rows_per_batch` rows; there is at least one.

    Raises
    ------
    SklineError
        If it is missing.
    """
    try:
        file = pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
    except FileNotFoundError:
        raise SklineError(f"{path} is missing; {how_to_get(path)}") from None
    with file:
        names = list(columns) if columns is not None else file.schema_arrow.names
        whole = file.schema_arrow
        schema = pa.schema([whole.field(name) for name in names], metadata=whole.metadata)
        n_rows = rows_per_batch(len(whole.names))
        batches = (batch.select(names) for batch in file.iter_batches(n_rows, columns=names))
        yield from rebatch(batches, schema, n_rows)


def read_frames(path: Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the batches of `read_batches` as DataFrames."""
    return (pa.Table.from_batches([batch]).to_pandas() for batch in read_batches(path, columns))


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    n_rows: int = pq.read_metadata(path).num_rows
    return n_rows


class TableWriter:
    """Writes a table as Parquet, one DataFrame after the other; see `table_writer`.

    Attributes
    ----------
    n_rows : int
        The rows that were written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: list[Path] = []  # each with other dtypes than the one before
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self.n_rows = 0

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows; the columns are those of the first DataFrame."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._schema is None or not table.schema.equals(self._schema):
            self._begin(table.schema)
        self._pending.append(table.replace_schema_metadata(self._schema.metadata if self._schema else None))
        self.n_rows += table.num_rows
        self._flush(complete=False)

    def finish(self, path: Path) -> None:
        """Write the file."""
        self._end()
        if len(self._segments) == 1:
            self._segments[0].replace(path)
            return
        dtypes: dict[str, set[str]] = {}
        for segment in self._segments:
            for name, dtype in _empty(segment).dtypes.items():
                dtypes.setdefault(str(name), set()).add(str(dtype))
        changes = {name: _common(name, each) for name, each in dtypes.items() if len(each) > 1}
        whole = TableWriter(self._folder / "whole")
        whole._folder.mkdir()
        for segment in self._segments:
            for frame in read_frames(segment):
                whole.write(frame.astype(changes))
        whole.finish(path)

    def _begin(self, schema: pa.Schema) -> None:
        """Begin a segment."""
        self._end()
        self._schema = schema
        self._segments.append(self._folder / f"{len(self._segments)}.parquet")
        self._writer = pq.ParquetWriter(self._segments[-1], schema, compression="snappy")
        self._is_empty = True

    def _end(self) -> None:
        """Complete the segment."""
        if self._writer is None:
            return
        self._flush(complete=True)
        self._writer.close()
        self._writer = None

    def _flush(self, *, complete: bool) -> None:
        """Write whole row groups, or all rows."""
        assert self._schema is not None and self._writer is not None  # noqa: S101, PT018 (a segment has begun)
        group = rows_per_batch(len(self._schema.names), ROW_GROUP_CELLS)
        n_pending = sum(table.num_rows for table in self._pending)
        if not complete and n_pending < group:
            return
        table = pa.concat_tables(self._pending) if self._pending else self._schema.empty_table()
        end = n_pending if complete else n_pending // group * group
        if end or self._is_empty:
            self._writer.write_table(table.slice(0, end).combine_chunks(), row_group_size=group)
            self._is_empty = False
        self._pending = [table.slice(end)] if end < n_pending else []


def _empty(path: Path) -> pd.DataFrame:
    """Return the columns of a Parquet file, without rows."""
    frame: pd.DataFrame = pq.read_schema(path).empty_table().to_pandas()
    return frame


def _common(name: str, dtypes: set[str]) -> str:
    """Return the dtype that holds the values of several; SklineError if there is none."""
    if not dtypes <= WIDENED:
        raise SklineError(
            f"the column {name!r} is {' and '.join(sorted(dtypes))} in different rows: convert it to one type in "
            "prepare() of src/model/source.py"
        )
    return WIDE


@contextmanager
def table_writer(path: Path) -> Iterator[TableWriter]:
    """Yield a writer; the file appears at `path` when the block ends without an error.

    The bytes depend on the rows alone, not on how they are divided. Integers and booleans are float64 in the whole file
    if they are in one DataFrame: so are columns with missing cells.
    """
    with (
        atomic_write(path) as temporary,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder,
    ):
        writer = TableWriter(Path(folder))
        yield writer
        writer.finish(temporary)
