"""Read a CSV (plain, compressed or in a zip), JSON lines, a sheet of a workbook, or a Parquet file as record batches.

CSV columns are read as text; `skline.contract.column_parsing` interprets the cells by the contract, without guessing.
docs/tables.md describes how a file is read.
"""

import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
from skline.sources.cleaning import Cleaner
from skline.sources.converted import CONVERTED, as_csv, csv_source
from skline.sources.encodings import describe_undecodable, settle_encoding
from skline.sources.formats import file_format, opened
from skline.sources.layout import read_layout, reject_duplicates
from skline.sources.preamble import footer_lines, footer_remark
from skline.sources.records import line_of_record
from skline.sources.scan import Scan, scan

#: Gets a sentence that a person should know about how the file is read.
Say = Callable[[str], None]
#: Rows of a batch of a Parquet file, and bytes of it that are read at a time: without them Arrow reads a row group.
PARQUET_ROWS, PARQUET_BUFFER_BYTES = 1 << 16, 1 << 20
#: The type of a column whose texts are encoded.
ENCODED_STRING = pa.dictionary(pa.int32(), pa.string())


class Reading(NamedTuple):
    """How the rows of a file are read.

    Attributes
    ----------
    encoded : collection of str
        Columns whose texts are dictionary-encoded.
    row_groups : sequence of int or None
        Row groups of a Parquet file to read; None: all.
    use_threads : bool
        Whether Arrow parses on several cores.
    detects_footer : bool
        Whether lines at the end of a text that look like no rows are skipped, whatever the source settings say.
    """

    encoded: Collection[str] = ()
    row_groups: Sequence[int] | None = None
    use_threads: bool = True
    detects_footer: bool = False


#: Reads text as text, and the whole file.
PLAIN = Reading()


class Rows(NamedTuple):
    """The rows of a file that is being read.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the batches: the requested columns that the file has; text for a CSV, the stored types for Parquet.
    batches : iterator of pyarrow.RecordBatch
        It raises what is found out while the file is read: SklineError, as `read_source` does.
    columns : list of str
        Names of all columns of the file.
    total : int
        Number of rows of Parquet; number of lines of a text, of which a row may have several.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    columns: list[str]
    total: int


def say_nothing(_: str) -> None:
    """Ignore a remark."""


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
    table, columns = read_rows(path, source, names, say)
    if table.num_rows == 0:
        raise SklineError(f"{path.name} has no rows")
    return table, columns


def read_rows(
    path: Path, source: Source, names: Sequence[str] | None, say: Say = say_nothing
) -> tuple[pa.Table, list[str]]:
    """Read the columns called `names` that the file has, which may have no rows; see `read_source`."""
    with open_rows(path, source, names, say) as rows:
        return pa.Table.from_batches(rows.batches, rows.schema), rows.columns


@contextmanager
def open_rows(
    path: Path,
    source: Source,
    names: Sequence[str] | None = None,
    say: Say = say_nothing,
    reading: Reading = PLAIN,
) -> Iterator[Rows]:
    """Open a file to read it in record batches; it may have no rows. See `read_source` for parameters and errors.

    Remarks about the rows are made after the last batch.
    """
    with ExitStack() as stack:
        with translated_errors(path):
            kind = file_format(path, source)
            if kind == "parquet":
                rows = _parquet_rows(path, names, reading, stack)
            else:
                if kind == "json_lines":  # it has no footer
                    reading = reading._replace(detects_footer=False)
                text = stack.enter_context(opened_text(path, source, say))
                rows = _text_rows(text, path.name, names, say, reading)
        yield rows._replace(batches=_with_translated_errors(rows.batches, path))


def _with_translated_errors(batches: Iterator[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    """Translate the errors of reading batches, and only those."""
    with translated_errors(path):
        yield from batches


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
def opened_text(
    path: Path, source: Source, say: Say = say_nothing, settle: Callable[[Any, Source], Source] | None = None
) -> Iterator[Text]:
    """Open a table that is text, and settle its encoding and its columns.

    Parameters
    ----------
    path : Path
    source : Source
    say : function of a text, optional
    settle : callable, optional
        Gets the binary stream and the settings with the encoding; returns the settings with which it is read.

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
        if settle is not None:
            source = settle(data, source)
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
    """Open a table that is text, decompressed; workbooks and JSON lines are CSV in UTF-8."""
    kind = file_format(path, source)
    if kind in CONVERTED:
        yield as_csv(path, kind, source), csv_source(source, kind)
        return
    with opened(path, source.member) as data:
        yield data, source


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


def _settle_footer(text: Text, found: Scan, say: Say, *, detects: bool) -> Text:
    """Settle which lines at the end are no rows, if the source is said to have some: those that look like a footer."""
    source, width = text.source, len(text.layout.names)
    if not detects and (not source.skip_footer or source.skip_footer_always):
        return text
    count, footer = footer_lines(found.tail, source.delimiter, width, quotes=source.quotes)
    if detects:
        if count:
            say(footer_remark(count, footer))
    elif not count:
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


def _parquet_rows(path: Path, names: Sequence[str] | None, reading: Reading, stack: ExitStack) -> Rows:
    """Open columns of a Parquet file; `stack` closes it."""
    import pyarrow.parquet as pq

    columns = parquet_columns(path)
    requested = columns if names is None else [name for name in names if name in columns]
    stored = pq.read_schema(path)
    encoded = [name for name in reading.encoded if name in columns and _is_string(stored.field(name).type)]
    file = stack.enter_context(
        pq.ParquetFile(path, read_dictionary=encoded, buffer_size=PARQUET_BUFFER_BYTES, pre_buffer=False)
    )
    schema = pa.schema([file.schema_arrow.field(name) for name in requested])
    batches = file.iter_batches(
        PARQUET_ROWS, row_groups=reading.row_groups, columns=requested, use_threads=reading.use_threads
    )
    return Rows(schema, (batch.select(requested) for batch in batches), columns, file.metadata.num_rows)


def _is_string(data_type: pa.DataType) -> bool:
    """Return whether Parquet can read the type dictionary-encoded."""
    return bool(pa.types.is_string(data_type) or pa.types.is_large_string(data_type))


def _text_rows(text: Text, file_name: str, names: Sequence[str] | None, say: Say, reading: Reading) -> Rows:
    """Open columns of a CSV as text."""
    columns = text.layout.names
    present = columns if names is None else [column for column in names if column in columns]
    if not present:
        raise SklineError(
            f"{file_name} has none of the columns {list(names or ())}; it has {columns}; "
            f"is the delimiter {text.source.delimiter!r}?"
        )
    text.data.seek(0)
    found = scan(text.data, text.source, len(columns))
    text = _settle_footer(text, found, say, detects=reading.detects_footer)
    types = {name: ENCODED_STRING if name in reading.encoded else pa.string() for name in present}
    batches = _text_batches(text, found, file_name, types, say, use_threads=reading.use_threads)
    return Rows(pa.schema(list(types.items())), batches, columns, found.lines)


def _text_batches(
    text: Text, found: Scan, file_name: str, types: Mapping[str, pa.DataType], say: Say, *, use_threads: bool
) -> Iterator[pa.RecordBatch]:
    """Split the text into cells; SklineError if it cannot be, or a quoted cell seems to hold rows."""
    from pyarrow import csv as arrow_csv

    text.data.seek(0)
    cleaner = Cleaner(text.source, text.layout, list(types), may_have_blanks=found.blanks)
    n_rows = 0
    try:
        arguments = arrow_arguments(text, found, types, use_threads=use_threads)
        with arrow_csv.open_csv(**arguments | {"input_file": native_stream(arguments["input_file"])}) as batches:
            for batch in batches:
                n_rows += batch.num_rows
                yield cleaner.clean(batch)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise described_error(error, text, file_name) from error
    if may_hide_rows(text, found, n_rows):
        check_hidden_rows(text, found, n_rows, file_name)
    for remark in cleaner.remarks(partial(line_of_record, text.data, text.source, text.layout.skip)):
        say(remark)
