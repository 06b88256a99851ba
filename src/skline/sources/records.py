"""The lines and records of a text in columns, one by one: slower than Arrow, but each with its line in the file."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from skline.settings.source import Source
from skline.sources.encodings import text_codec

if TYPE_CHECKING:
    from _csv import Reader

#: The longest cell that is read under `long_cells`, in characters; csv's own limit is 131,072.
LONGEST_CELL = 1 << 26


@contextmanager
def text_lines(data: Any, source: Source, skip: int = 0, errors: str = "strict") -> Iterator[TextIOWrapper]:
    """Decode a seekable binary stream from its beginning, without its first `skip` lines; the stream stays open.

    Line ends are kept as they are, as the module csv needs them.
    """
    data.seek(0)
    text = TextIOWrapper(data, encoding=text_codec(source.encoding), newline="", errors=errors)
    try:
        for _ in range(skip):
            text.readline()
        yield text
    finally:
        text.detach()


def record_reader(lines: Iterable[str], delimiter: str, *, quotes: bool = True) -> "Reader":
    """Return a reader of records from lines; `quotes` is whether double quotes enclose cells."""
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)


@contextmanager
def long_cells() -> Iterator[None]:
    """Let csv read cells of up to LONGEST_CELL characters."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def line_of_record(data: Any, source: Source, skip: int, position: int) -> int:
    """Return the number of the first line of a record, from 1; blank lines are no records.

    Parameters
    ----------
    data : seekable binary stream
    source : Source
    skip : int
        Lines above the column names, or above the first record if there are none.
    position : int
        Of the record below the column names, from 0.
    """
    with text_lines(data, source, skip) as lines, long_cells():
        reader = record_reader(lines, source.delimiter, quotes=source.quotes)
        if source.header:
            next(reader, None)
        first, line = skip + reader.line_num + 1, skip
        for record in reader:
            if any(record):
                line, position = first, position - 1
            if position < 0:
                break
            first = skip + reader.line_num + 1
        return line
