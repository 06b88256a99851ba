"""How Arrow reads a text in columns: which options it gets, and what its errors mean."""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources import quotes
from skline.sources.cleaning import RowLines
from skline.sources.encodings import describe_undecodable
from skline.sources.layout import Layout
from skline.sources.long_records import long_records
from skline.sources.scan import Scan

#: Bytes of text that Arrow reads at a time. In smaller blocks, a table of hundreds of columns falls into many short
#: arrays, whose handling costs more than their content.
BLOCK_BYTES = 1 << 22


class Text(NamedTuple):
    """A table as text: a binary stream, how it is written, and its columns."""

    data: Any
    source: Source
    layout: Layout


def arrow_arguments(text: Text, found: Scan, types: Mapping[str, pa.DataType], **reading: Any) -> dict[str, Any]:
    """Return the arguments of `pyarrow.csv.read_csv` and `open_csv`.

    Parameters
    ----------
    text : Text
        At its beginning.
    found : Scan
    types : mapping from name to type
        The columns to read.
    **reading
        Further `pyarrow.csv.ReadOptions`.
    """
    from pyarrow import csv

    source = text.source
    quoted = source.quotes and found.quoted  # without a quote, Arrow finds the ends of rows faster
    data, encoding, skip = _rows_of(text, found)
    return {
        "input_file": data,
        "read_options": csv.ReadOptions(
            encoding=encoding,
            column_names=text.layout.names,
            skip_rows=skip,
            skip_rows_after_names=int(source.header),
            block_size=BLOCK_BYTES,
            **reading,
        ),
        "parse_options": csv.ParseOptions(
            delimiter=source.delimiter, newlines_in_values=quoted, quote_char='"' if quoted else False
        ),
        "convert_options": csv.ConvertOptions(
            include_columns=list(types),
            column_types=dict(types),
            null_values=list(source.missing),
            strings_can_be_null=True,
        ),
    }


def native_stream(data: Any) -> Any:
    """Return a stream that Arrow's threads read without Python, if `data` is a file on disk or bytes in memory."""
    if isinstance(data, io.BytesIO):
        return pa.BufferReader(data.getvalue())
    if isinstance(data, io.BufferedReader) and isinstance(data.raw, io.FileIO):
        return pa.OSFile(str(data.name))
    return data


def _rows_of(text: Text, found: Scan) -> tuple[Any, str, int]:
    """Return the stream without lines that are no rows, its encoding, and the lines that remain to be skipped."""
    data, encoding = text.data, text.source.encoding
    footer = text.source.skip_footer
    if not footer and not found.delimiter_lines:
        return data, encoding, text.layout.skip
    if is_utf_16(encoding):
        data, encoding = io.BytesIO(data.read().decode(encoding).encode()), "utf-8"
    delimiters = text.source.delimiter * (len(text.layout.names) - 1) if found.delimiter_lines else ""
    lines = RowLines(data, delimiters, text.layout.skip, footer)
    return io.BufferedReader(lines, 1 << 20), encoding, 0


def may_hide_rows(text: Text, found: Scan, n_rows: int) -> bool:
    """Whether cells may hold rows or other cells: rows are fewer than lines, or quotes are no pairs."""
    lines = n_rows + text.layout.skip + text.source.header + text.source.skip_footer
    return found.broken_quotes or (found.quoted and found.lines > lines)


def check_hidden_rows(text: Text, found: Scan, n_rows: int, file_name: str) -> None:
    """Raise RecordsError if a quoted cell seems to hold more rows than `n_rows`, those read; `text` is seekable."""
    source, layout = text.source, text.layout
    width = len(layout.names)
    if not (found.broken_quotes or found.delimiter_lines or source.skip_footer or is_utf_16(source.encoding)):
        records = long_records(text.data, source, layout.skip, width, n_rows + source.header)
        if records is not None and quotes.check_long_records(records, source, width, file_name):
            return
    quotes.check_quotes(text.data, source, layout.skip, width, file_name, broken=found.broken_quotes)


def is_utf_16(encoding: str) -> bool:
    """Whether the line ends of a text have two bytes."""
    return encoding.lower().replace("_", "-").startswith("utf-16")


def described_error(error: Exception, text: Text, file_name: str) -> SklineError:
    """Return an error with line numbers, for cells or bytes that cannot be read; `text` is seekable."""
    source, layout = text.source, text.layout
    message = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError) or "UTF8" in message or "codec" in message:
        return SklineError(describe_undecodable(text.data, source.encoding, file_name))
    if "straddling" in message:
        return SklineError(
            f"cannot read {file_name}: a row is longer than {BLOCK_BYTES:,} bytes; is a quote left open?"
        )
    described = quotes.describe_ragged_rows(text.data, source, layout.skip, len(layout.names), file_name)
    if described:
        return quotes.RecordsError(described)
    return SklineError(f"cannot read {file_name}: {message}; is the file complete?")
