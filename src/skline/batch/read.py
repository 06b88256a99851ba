"""Read tables of any length in parts: CSV and sheets of workbooks as text, Parquet in its own types."""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.arrow_csv import (
    BLOCK_BYTES,
    Text,
    arrow_arguments,
    check_hidden_rows,
    described_error,
    may_hide_rows,
)
from skline.sources.cleaning import trimmed
from skline.sources.dialect import detect_footer, detect_leading
from skline.sources.encodings import describe_undecodable, settle_encoding
from skline.sources.formats import COMPRESSED_SUFFIXES, file_format, opened, streamed
from skline.sources.layout import read_layout
from skline.sources.scan import Scan, scan
from skline.sources.tables import parquet_columns, translated_errors, workbook_source
from skline.sources.workbooks import sheet_as_csv

#: Rows of a part of a Parquet file.
PARQUET_PART_ROWS = 1 << 16
#: Bytes that are read at a time from a Parquet file. Without it Arrow reads a whole row group, perhaps the whole file.
PARQUET_BUFFER_BYTES = 1 << 20
#: Bytes of a compressed file that are read to find its columns.
HEAD_BYTES = 1 << 22
ENCODED_STRING = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class TableFormat:
    """How a table is written: what the command line says.

    Values that are not set are those of `default`, the source on which the model was trained; `skip` and `skip_footer`
    are detected then, because a later file may have other titles and totals.
    """

    delimiter: str | None = None
    encoding: str | None = None
    member: str | None = None
    default: Source | None = None
    sheet: str | None = None
    skip: int | None = None
    skip_footer: int | None = None

    def source(self, path: Path) -> Source:
        """Return the format as source settings; a .tsv file is delimited by tabs unless `delimiter` is set."""
        stem = path.name.lower()
        for suffix in (*COMPRESSED_SUFFIXES, ".zip"):
            stem = stem.removesuffix(suffix)
        default = self.default or Source(uri="")
        delimiter = self.delimiter or ("\t" if stem.endswith((".tsv", ".tab")) else default.delimiter)
        values: dict[str, Any] = {
            "uri": str(path),
            "delimiter": delimiter,
            "encoding": self.encoding or default.encoding,
            "member": self.member,
            "sheet": self.sheet or default.sheet,
            "skip": self.skip or 0,
            "skip_footer": self.skip_footer or 0,
        }
        return default.model_copy(update=values)


class TableReader:
    """Reads a table in parts.

    Attributes
    ----------
    columns : list of str
        Names of all columns.
    total : int
        Size of the table: rows of a Parquet file, bytes of any other.
    unit : {"row", "B"}
        Unit of `total` and `position`.
    remarks : list of str
        What a person should know about how the table is read; `parts` adds what the end of the table shows.
    """

    def __init__(self, path: Path, table_format: TableFormat) -> None:
        if not path.is_file():
            raise SklineError(f"there is no file {str(path)!r}; name a CSV, TSV, Excel or Parquet file")
        self.path = path
        self.remarks: list[str] = []
        self._source = table_format.source(path)
        self._detect_footer = table_format.skip_footer is None
        self._raw: BinaryIO | None = None
        self._position = 0
        with translated_errors(path):
            self._format = file_format(path, self._source)
            self.is_parquet = self._format == "parquet"
            self.unit = "row" if self.is_parquet else "B"
            if self.is_parquet:
                import pyarrow.parquet as pq

                metadata = pq.read_metadata(path)
                self.columns = parquet_columns(path)
                self.total, self.row_groups = metadata.num_rows, metadata.num_row_groups
            else:
                self.total = path.stat().st_size
                self._settle_text(table_format)

    def _settle_text(self, table_format: TableFormat) -> None:
        """Settle the encoding, the lines that are no rows, and the columns of a text."""
        if self._format == "workbook":
            self._source = workbook_source(self._source)
        with ExitStack() as stack:
            stream = self._open(stack)
            data, whole = stream, self._raw is stream or isinstance(stream, io.BytesIO)
            if not whole:
                data = io.BytesIO(_whole_lines(stream.read(HEAD_BYTES)))
            encoding = settle_encoding(data, self._source.encoding, self.path.name)
            self._source = self._source.model_copy(update={"encoding": encoding.name})
            self.remarks += [encoding.remark] if encoding.remark else []
            if table_format.skip is None:
                found = detect_leading(data, self._source)
                self.remarks += found.remarks
                self._source = self._source.model_copy(update=found.source)
            data.seek(0)
            try:
                self._layout = read_layout(data, self._source, self.path.name)
            except UnicodeDecodeError as error:
                raise SklineError(describe_undecodable(data, encoding.name, self.path.name)) from error
            self.columns = self._layout.names

    @property
    def position(self) -> int:
        """How much of `total` has been read."""
        return self._position if self._raw is None or self._raw.closed else self._raw.tell()

    def parts(
        self, columns: Sequence[str], string_columns: Sequence[str], row_groups: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read some columns; there is always at least one part.

        Parameters
        ----------
        columns : sequence of str
        string_columns : sequence of str
            Columns in which strings are expected; their parts are dictionary-encoded.
        row_groups : sequence of int, optional
            Row groups of a Parquet file to read; all by default.
        """
        with translated_errors(self.path):
            if self.is_parquet:
                yield from self._parquet_parts(columns, string_columns, row_groups)
            else:
                yield from self._csv_parts(columns, string_columns)

    def _parquet_parts(
        self, columns: Sequence[str], string_columns: Sequence[str], row_groups: Sequence[int] | None
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        schema = pq.read_schema(self.path)
        encoded = [name for name in string_columns if _is_string(schema.field(name).type)]
        is_empty = True
        with pq.ParquetFile(
            self.path, read_dictionary=encoded, buffer_size=PARQUET_BUFFER_BYTES, pre_buffer=False
        ) as file:
            batches = file.iter_batches(
                PARQUET_PART_ROWS, row_groups=row_groups, columns=list(columns), use_threads=False
            )
            for batch in batches:
                self._position += batch.num_rows
                is_empty = False
                yield batch.select(list(columns))
        if is_empty:
            yield pa.RecordBatch.from_pylist([], schema=pa.schema([schema.field(name) for name in columns]))

    def _csv_parts(self, columns: Sequence[str], string_columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import csv

        types = {name: ENCODED_STRING if name in string_columns else pa.string() for name in columns}
        source, found = self._scan()
        rows = 0
        with ExitStack() as stack:
            text = Text(self._open(stack), source, self._layout)
            arguments = arrow_arguments(text, found, types, use_threads=False)
            try:
                for batch in csv.open_csv(**arguments):
                    rows += batch.num_rows
                    yield trimmed(batch, source.missing)[0] if source.trim and found.blanks else batch
            except (pa.ArrowInvalid, UnicodeError) as error:
                raise self._described(error) from error
            if not rows:
                yield pa.RecordBatch.from_pylist([], schema=pa.schema(list(types.items())))
            self._position = self.total
        if may_hide_rows(text, found, rows):
            with self._whole() as whole:
                check_hidden_rows(text._replace(data=whole), found, rows, self.path.name)

    def _scan(self) -> tuple[Source, Scan]:
        """Read the text once; returns its settings with the lines at its end that are no rows, and what was found."""
        with ExitStack() as stack:
            found = scan(self._open(stack), self._source, len(self.columns))
        if not self._detect_footer:
            return self._source, found
        footer = detect_footer(found.tail, self._source, len(self.columns))
        self.remarks += footer.remarks
        return self._source.model_copy(update=footer.source), found

    def _described(self, error: Exception) -> SklineError:
        """Return an error with line numbers."""
        if "straddling" in str(error):
            return SklineError(
                f"cannot read {self.path.name}: a row is longer than {BLOCK_BYTES:,} bytes; is a quote left open?"
            )
        with self._whole() as data:
            return described_error(error, Text(data, self._source, self._layout), self.path.name)

    def _whole(self) -> io.BufferedIOBase:
        """Open the text as a seekable stream."""
        if self._format == "workbook":
            return sheet_as_csv(self.path, self._source.sheet)
        return opened(self.path, self._source.member)

    def _open(self, stack: ExitStack) -> Any:
        """Open the text, decompressed while it is read; `stack` closes it."""
        if self._format == "workbook":
            return sheet_as_csv(self.path, self._source.sheet)
        stream, self._raw = streamed(self.path, self._source.member, stack)
        return stream


def _whole_lines(data: bytes) -> bytes:
    """Return the lines of the beginning of a file that are whole."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end and len(data) == HEAD_BYTES else data


def _is_string(data_type: pa.DataType) -> bool:
    """Return whether Parquet can read the type dictionary-encoded."""
    return bool(pa.types.is_string(data_type) or pa.types.is_large_string(data_type))
