"""Tables of any length, in parts: CSV as text, Parquet as it is stored."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from skline.errors import SklineError
from skline.settings_source import Source
from skline.sources.tables import choose_member, csv_header, refuse_duplicates, trimmed

#: Rows of a part of a Parquet file, and bytes of a part of a CSV.
ROWS = 1 << 16
BLOCK = 1 << 22
PARQUET = (".parquet", ".pq")
PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
ENCODED = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Format:
    """How a table is written: its `delimiter` and `encoding` if it is a CSV, and the `member` of a zip.

    What is not said is as in `like`, the source that the model learned from.
    """

    delimiter: str | None = None
    encoding: str | None = None
    member: str | None = None
    like: Source | None = None

    def source(self, path: Path) -> Source:
        """The same as the settings of a source, the delimiter by the file's name if none is given."""
        stem = path.name.lower()
        for ending in (*PACKED, ".zip"):
            stem = stem.removesuffix(ending)
        like = self.like or Source(uri="")
        delimiter = self.delimiter or ("\t" if stem.endswith((".tsv", ".tab")) else like.delimiter)
        encoding = self.encoding or like.encoding
        given = {"uri": str(path), "delimiter": delimiter, "encoding": encoding, "member": self.member}
        return like.model_copy(update=given)


class Input:
    """A table to be read in parts.

    Attributes
    ----------
    columns : list of str
        Names of all columns.
    total : int
        How much there is to read: rows of a Parquet file, bytes of any other.
    unit : {"row", "B"}
    """

    def __init__(self, path: Path, form: Format) -> None:
        if not path.is_file():
            raise SklineError(f"there is no file {str(path)!r}; name a csv, tsv or Parquet file")
        self.path = path
        self._source = form.source(path)
        self._raw: BinaryIO | None = None
        self._read = 0
        self.is_parquet = path.suffix.lower() in PARQUET
        self.unit = "row" if self.is_parquet else "B"
        with _told(path):
            if self.is_parquet:
                import pyarrow.parquet as pq

                with pq.ParquetFile(path) as file:
                    self.columns: list[str] = file.schema_arrow.names
                    self.total = file.metadata.num_rows
                    self.groups = file.num_row_groups
            else:
                self.total = path.stat().st_size
                with ExitStack() as stack:
                    self.columns = csv_header(self._open(stack), self._source)
        refuse_duplicates(self.columns, path.name)

    @property
    def read(self) -> int:
        """How much of `total` has been read."""
        return self._read if self._raw is None or self._raw.closed else self._raw.tell()

    def parts(
        self, columns: Sequence[str], texts: Sequence[str], groups: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read some columns; there is always at least one part.

        Parameters
        ----------
        columns : sequence of str
        texts : sequence of str
            Those in which strings are expected; they come dictionary-encoded.
        groups : sequence of int, optional
            Row groups to be read of a Parquet file; all by default.
        """
        with _told(self.path):
            yield from self._parquet(columns, texts, groups) if self.is_parquet else self._csv(columns, texts)

    def _parquet(
        self, columns: Sequence[str], texts: Sequence[str], groups: Sequence[int] | None
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        stored = pq.read_schema(self.path)
        encoded = [name for name in texts if _is_text(stored.field(name).type)]
        nothing = pa.schema([stored.field(name) for name in columns]).empty_table().to_batches(max_chunksize=1)
        # Without a buffer size a whole row group is read at once, and it may be as long as the file.
        with pq.ParquetFile(self.path, read_dictionary=encoded, buffer_size=1 << 20, pre_buffer=False) as file:
            found = False
            for batch in file.iter_batches(ROWS, row_groups=groups, columns=list(columns), use_threads=False):
                self._read += batch.num_rows
                found = True
                yield batch.select(list(columns))
        if not found:
            yield from nothing or [pa.RecordBatch.from_pylist([], schema=pa.schema([stored.field(n) for n in columns]))]

    def _csv(self, columns: Sequence[str], texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
        from pyarrow import csv

        types = {name: ENCODED if name in texts else pa.string() for name in columns}
        source = self._source
        with ExitStack() as stack:
            reader = csv.open_csv(
                self._open(stack),
                read_options=csv.ReadOptions(
                    encoding=source.encoding,
                    block_size=BLOCK,
                    use_threads=False,
                    column_names=self.columns,
                    skip_rows_after_names=1,
                ),
                parse_options=csv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    include_columns=list(columns),
                    column_types=types,
                    null_values=list(source.missing),
                    strings_can_be_null=True,
                ),
            )
            found = False
            for batch in reader:
                found = True
                yield trimmed(batch, self._source.missing) if self._source.trim else batch
            if not found:
                yield pa.RecordBatch.from_pylist([], schema=pa.schema(list(types.items())))
            self._read = self.total

    def _open(self, stack: ExitStack) -> Any:
        """Open the file, unpacked if it is compressed; `stack` closes it."""
        raw = stack.enter_context(self.path.open("rb"))
        self._raw = raw
        if zipfile.is_zipfile(raw):
            archive = stack.enter_context(zipfile.ZipFile(raw))
            return stack.enter_context(archive.open(choose_member(archive, self._source.member, self.path.name)))
        raw.seek(0)
        codec = PACKED.get(self.path.suffix.lower())
        if codec is None:
            return raw
        return stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), codec))


def _is_text(kind: pa.DataType) -> bool:
    """Whether Parquet can give it dictionary-encoded."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class _told:  # noqa: N801 - reads as a function: `with _told(path)`
    """Say errors of reading a file for people."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowInvalid | pa.ArrowNotImplementedError | OSError | UnicodeError | EOFError):
            said = " ".join(str(error).split())
            advice = "is it whole, and the format its name says?"
            if "straddling" in said:
                advice = f"a row is longer than {BLOCK:,} bytes; is a quote left open?"
            raise SklineError(f"cannot read {self._path.name}: {said}; {advice}") from error
