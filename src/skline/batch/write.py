"""Write tables of any length, part by part."""

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from skline.errors import SklineError
from skline.settings.source import PARQUET_SUFFIXES

#: Maximum size of a row group of a Parquet file.
MAX_GROUP_ROWS = 1 << 20
MAX_GROUP_BYTES = 1 << 26
SUFFIXES = (*PARQUET_SUFFIXES, ".csv", ".tsv", ".csv.gz", ".tsv.gz")


def format_suffix(path: Path) -> str:
    """Return the one of SUFFIXES with which the file name ends; SklineError if there is none."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise SklineError(f"the name {path.name} has no suffix of a known format; use one of {', '.join(SUFFIXES)}")


#: Beginnings of texts that spreadsheets run as formulas, unless the text is a number (OWASP, CSV injection).
FORMULA, NUMBER = r"^[=+\-@\t\r]", r"^[+-]?[0-9.,]*(e[+-]?[0-9]+)?%?$"


class TableWriter:
    """Writes the parts of one table to a path, in the format that a suffix names; a context manager closes it.

    Attributes
    ----------
    escaped : int
        Number of cells that got an apostrophe in front, so that no spreadsheet runs them as a formula.
    """

    def __init__(self, path: Path, suffix: str, *, escape_formulas: bool = True) -> None:
        self._path, self._suffix = path, suffix
        self._escapes = escape_formulas and suffix not in PARQUET_SUFFIXES
        self.escaped = 0
        self._pending: list[pa.RecordBatch] = []
        self._writer: Any = None
        self._sink: Any = None

    def write(self, part: pa.RecordBatch) -> None:
        """Add rows; all parts have the same columns."""
        if self._escapes:
            part, escaped = without_formulas(part)
            self.escaped += escaped
        if self._writer is None:
            self._open(part.schema)
        self._pending.append(part)
        rows, size = (sum(getattr(p, name) for p in self._pending) for name in ("num_rows", "nbytes"))
        if self._suffix not in PARQUET_SUFFIXES or rows >= MAX_GROUP_ROWS or size >= MAX_GROUP_BYTES:
            self._flush()

    def _open(self, schema: pa.Schema) -> None:
        if self._suffix in PARQUET_SUFFIXES:
            import pyarrow.parquet as pq

            # Probabilities rarely repeat, so a dictionary of them would not make the file smaller.
            encoded = [field.name for field in schema if not pa.types.is_floating(field.type)]
            self._writer = pq.ParquetWriter(self._path, schema, use_dictionary=encoded, compression="snappy")
            return
        from pyarrow import csv

        self._sink = pa.OSFile(str(self._path), "wb")
        sink = pa.CompressedOutputStream(self._sink, "gzip") if self._suffix.endswith(".gz") else self._sink
        self._sink = sink
        options = csv.WriteOptions(delimiter="\t" if self._suffix.startswith(".tsv") else ",")
        try:
            self._writer = csv.CSVWriter(sink, schema, write_options=options)
        except pa.ArrowInvalid as error:
            raise SklineError(f"a CSV cannot hold a column: {error}; write Parquet, or keep fewer columns") from error

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            self._writer.write_table(pa.Table.from_batches(pending))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: object, error: object, traceback: object) -> None:
        if self._writer is None:
            return
        if error is None:
            self._flush()
        self._writer.close()
        if self._sink is not None:
            self._sink.close()


def without_formulas(part: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Put an apostrophe before texts that a spreadsheet would run; returns the rows, and the number of such cells."""
    columns, count = [], 0
    for column in part.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            is_number = pc.match_substring_regex(column, NUMBER, ignore_case=True)
            formulas = pc.and_not(pc.match_substring_regex(column, FORMULA), is_number)
            found = int(pc.sum(formulas).as_py() or 0)
            if found:
                escaped = pc.binary_join_element_wise(pa.scalar("'", column.type), column, pa.scalar("", column.type))
                columns.append(pc.if_else(formulas, escaped, column))
                count += found
                continue
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=part.schema), count
