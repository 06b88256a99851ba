"""Read tables of any length in parts, as `skline.sources` does; options of the command line override its settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.dialect import detect_leading
from skline.sources.formats import COMPRESSED_SUFFIXES, file_format
from skline.sources.tables import Reading, open_rows, opened_text, parquet_columns, translated_errors


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
            "skip_footer_always": self.skip_footer is not None,
        }
        return default.model_copy(update=values)


class TableReader:
    """Reads a table in parts.

    Attributes
    ----------
    columns : list of str
        Names of all columns.
    total : int or None
        Number of rows of a Parquet file; number of lines of a text, which is known when the first part is read.
    remarks : list of str
        What a person should know about how the table is read; `parts` adds what the end of the table shows.
    """

    def __init__(self, path: Path, table_format: TableFormat) -> None:
        if not path.is_file():
            raise SklineError(f"there is no file {str(path)!r}; name a CSV, TSV, Excel, JSON lines or Parquet file")
        self.path = path
        self.remarks: list[str] = []
        self.total: int | None = None
        self._source = table_format.source(path)
        self._detects_footer = table_format.skip_footer is None
        with translated_errors(path):
            kind = file_format(path, self._source)
            self.is_parquet = kind == "parquet"
            if self.is_parquet:
                import pyarrow.parquet as pq

                metadata = pq.read_metadata(path)
                self.columns = parquet_columns(path)
                self.total, self.row_groups = metadata.num_rows, metadata.num_row_groups
                return
            detects = table_format.skip is None and kind != "json_lines"
            with opened_text(path, self._source, self._say, self._without_leading if detects else None) as text:
                self.columns = text.layout.names
                self._source = self._source.model_copy(update={"skip": text.source.skip})

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
        # The parts are scored on all cores: Arrow's own threads would only compete with them.
        reading = Reading(string_columns, row_groups, use_threads=False, detects_footer=self._detects_footer)
        with open_rows(self.path, self._source, columns, self._say, reading) as rows:
            self.total = rows.total
            is_empty = True
            for batch in rows.batches:
                is_empty = False
                yield batch.select(list(columns))
            if is_empty:
                yield pa.RecordBatch.from_pylist([], schema=pa.schema([rows.schema.field(name) for name in columns]))

    def _without_leading(self, data: Any, source: Source) -> Source:
        """Settle the lines above the column names that are no rows."""
        found = detect_leading(data, source)
        for remark in found.remarks:
            self._say(remark)
        return source.model_copy(update=found.source)

    def _say(self, remark: str) -> None:
        """Add a remark once: reading the rows repeats the remarks about the columns."""
        if remark not in self.remarks:
            self.remarks.append(remark)
