"""Read a CSV (plain, compressed or in a zip), a sheet of a workbook, or a Parquet file as an Arrow table.

CSV columns are read as text; `skline.contract.column_parsing` interprets the cells by the contract, without guessing.
docs/tables.md describes how a file is read.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.arrow_csv import (
    Text,
    arrow_arguments,
    check_hidden_rows,
    described_error,
    may_hide_rows,
    native_stream,
)
from skline.sources.cleaning import begins_with_underline, repeated_headers, trimmed, without_rows
from skline.sources.encodings import describe_undecodable, settle_encoding
from skline.sources.formats import file_format, opened
from skline.sources.layout import read_layout, reject_duplicates
from skline.sources.preamble import footer_lines
from skline.sources.scan import Scan, scan
from skline.sources.workbooks import sheet_as_csv

#: Gets a sentence that a person should know about how the file is read.
Say = Callable[[str], None]


def say_nothing(_: str) -> None:
    """Take no notice of a remark."""


def read_source(
    path: Path, source: Source, names: Sequence[str] | None, say: Say = say_nothing
) -> tuple[pa.Table, list[str]]:
    """Read the columns called `names` that the file has.

    Parameters
    ----------
    path : Path
        A local file; its first bytes are the format.
    source : Source
        Delimiter, encoding, the member of an archive, and the lines that are no rows.
    names : sequence of str, optional
        Column names; other columns are not read. By default all are.
    say : function of a text, optional
        Gets remarks: another encoding than the declared one, lines that were skipped.

    Returns
    -------
    table : pyarrow.Table
        The requested columns that exist; text for a CSV, the stored types for Parquet.
    columns : list of str
        Names of all columns of the file.

    Raises
    ------
    SklineError
        If the file cannot be read, has no rows, two columns of the same name, lines with different numbers of cells, or
        a quoted cell that seems to hold rows.
    """
    with translated_errors(path):
        if file_format(path, source) == "parquet":
            table, columns = _read_parquet(path, names)
        else:
            with opened_text(path, source, say) as text:
                table, columns = _read_csv(text, path.name, names, say)
    if table.num_rows == 0:
        raise SklineError(f"{path.name} has no rows")
    return table, columns


def header(path: Path, source: Source) -> list[str]:
    """Return the column names of a file.

    Raises
    ------
    SklineError
        If it cannot be read, or two columns have the same name.
    """
    with translated_errors(path):
        if file_format(path, source) == "parquet":
            return parquet_columns(path)
        with opened_text(path, source) as text:
            return text.layout.names


@contextmanager
def opened_text(path: Path, source: Source, say: Say = say_nothing) -> Iterator[Text]:
    """Open a table that is text, and settle its encoding and its columns.

    Raises
    ------
    SklineError
        If it is not in the encoding that `source` declares, or its line of names is invalid.
    """
    with opened_data(path, source) as (data, declared):
        encoding = settle_encoding(data, declared.encoding, path.name)
        if encoding.remark is not None:
            say(encoding.remark)
        source = declared.model_copy(update={"encoding": encoding.name})
        data.seek(0)
        try:
            layout = read_layout(data, source, path.name)
            for remark in layout.remarks():
                say(remark)
            yield Text(data, source, layout)
        except UnicodeDecodeError:
            raise SklineError(describe_undecodable(data, source.encoding, path.name)) from None


@contextmanager
def opened_data(path: Path, source: Source) -> Iterator[tuple[Any, Source]]:
    """Open a table that is text, decompressed; a sheet of a workbook is CSV in UTF-8."""
    if file_format(path, source) == "workbook":
        yield sheet_as_csv(path, source.sheet), workbook_source(source)
        return
    with opened(path, source.member) as data:
        yield data, source


def workbook_source(source: Source) -> Source:
    """Return the source settings with which `sheet_as_csv` writes a sheet."""
    return source.model_copy(update={"delimiter": ",", "encoding": "utf-8", "quotes": True})


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Translate errors of reading a file into a one-line SklineError."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, zipfile.BadZipFile, UnicodeError, EOFError) as error:
        raise SklineError(
            f"cannot read {path.name}: {' '.join(str(error).split())}; "
            "is the file complete, and does its suffix match its format?"
        ) from error


def _settle_footer(text: Text, found: Scan, say: Say) -> Text:
    """Settle which lines at the end are no rows, if the source is said to have some: those that look like a footer."""
    source, width = text.source, len(text.layout.names)
    if not source.skip_footer or source.skip_footer_always:
        return text
    count, _ = footer_lines(found.tail, source.delimiter, width, quotes=source.quotes)
    if not count:
        last = found.tail.rstrip().rpartition("\n")[2]
        say(
            f"the last line is read as a row, because it looks like one: {last[:60]!r}; source.skip_footer is "
            f"{source.skip_footer}: to skip such lines as well, set source.skip_footer_always to true"
        )
    elif count != source.skip_footer:
        say(f"the last {count} lines are skipped as no rows; source.skip_footer is {source.skip_footer}")
    return text._replace(source=source.model_copy(update={"skip_footer": count}))


def parquet_columns(path: Path) -> list[str]:
    """Read the names of the columns of a Parquet file; SklineError if two are the same."""
    import pyarrow.parquet as pq

    columns: list[str] = pq.read_schema(path).names
    reject_duplicates(columns, path.name)
    return columns


def _read_parquet(path: Path, names: Sequence[str] | None) -> tuple[pa.Table, list[str]]:
    """Read columns of a Parquet file."""
    import pyarrow.parquet as pq

    columns = parquet_columns(path)
    requested = columns if names is None else [name for name in names if name in columns]
    return pq.read_table(path, columns=requested), columns


def _read_csv(text: Text, file_name: str, names: Sequence[str] | None, say: Say) -> tuple[pa.Table, list[str]]:
    """Read columns of a CSV as text."""
    columns = text.layout.names
    present = columns if names is None else [column for column in names if column in columns]
    if not present:
        raise SklineError(
            f"{file_name} has none of the columns {list(names or ())}; it has {columns}; "
            f"is the delimiter {text.source.delimiter!r}?"
        )
    text.data.seek(0)
    found = scan(text.data, text.source, len(columns))
    text = _settle_footer(text, found, say)
    table = _parse(text, found, file_name, present)
    return _cleaned(table, text, found, say), columns


def _parse(text: Text, found: Scan, file_name: str, names: list[str]) -> pa.Table:
    """Split the text into cells; SklineError if it cannot be, or a quoted cell seems to hold rows."""
    from pyarrow import csv as arrow_csv

    text.data.seek(0)
    try:
        arguments = arrow_arguments(text, found, dict.fromkeys(names, pa.string()))
        table = arrow_csv.read_csv(**arguments | {"input_file": native_stream(arguments["input_file"])})
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise described_error(error, text, file_name) from error
    if may_hide_rows(text, found, table.num_rows):
        check_hidden_rows(text, found, table.num_rows, file_name)
    return table


def _cleaned(table: pa.Table, text: Text, found: Scan, say: Say) -> pa.Table:
    """Remove blanks around cells, and lines that repeat the column names."""
    source, layout = text.source, text.layout
    if source.trim and found.blanks:
        table, changed = trimmed(table, source.missing)
        if changed:
            say(f"blanks around the cells of {', '.join(map(repr, changed))} are removed")
    unnamed = frozenset(table.column_names.index(name) for name in layout.unnamed if name in table.column_names)
    repeated = repeated_headers(table, unnamed, padded=found.blanks) if source.header else []
    if repeated:
        first = repeated[0] + layout.skip + 2
        more = f", and {len(repeated) - 1:,} more lines" if len(repeated) > 1 else ""
        say(f"line {first:,}{more} repeats the column names and is skipped")
        table = without_rows(table, repeated)
    if source.header and begins_with_underline(table):
        say(f"line {layout.skip + 2:,} is skipped: it is a line of dashes below the column names")
        table = without_rows(table, [0])
    return table
