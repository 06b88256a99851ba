"""Whether the quotes of a CSV file enclose cells: a quote that never closes swallows the rows up to the next quote."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.encodings import text_codec
from skline.sources.long_records import LongRecord
from skline.sources.records import long_cells, record_reader, text_lines

#: In a table of two columns, a cell of so many lines that look like rows is one that swallowed rows.
LINES_OF_TWO = 10
#: What helps if the quotes enclose no cells.
AS_CHARACTERS = "read quotes as ordinary characters (`skline init --no-quotes`, or source.quotes: false in params.yaml)"


class RecordsError(SklineError):
    """A quoted cell seems to hold rows, or rows have another number of cells than the header."""


def check_quotes(data: Any, source: Source, skip: int, width: int, name: str, *, broken: bool) -> None:
    """Read a file record by record, and raise RecordsError if a cell seems to hold rows or other cells.

    In a cell that holds rows, each line has as many delimiters as a row, and the cell ends in the column in which it
    began. In a cell that holds another one, text follows the quote that closes it; that is looked for if `broken`.
    """
    kept: list[str] = []
    try:
        with text_lines(data, source, skip) as text, long_cells():
            reader = record_reader(_kept(text, kept), source.delimiter)
            for record in reader:
                begin = skip + reader.line_num - len(kept) + 1
                _reject_rows_in_cells(record, kept, source.delimiter, width, name, begin)
                if broken and (problem := _broken_quote(kept, record, source.delimiter)):
                    raise RecordsError(f"{name}: {problem.format(line=begin)}")
                kept.clear()
    except csv.Error as error:
        raise RecordsError(f"{name}: a quoted cell is not closed, or too long ({error})") from error


def check_long_records(records: Sequence[LongRecord], source: Source, width: int, name: str) -> bool:
    """Check records as `check_quotes` does; returns False if one of them is several, so that the file must be read."""
    codec = text_codec(source.encoding)
    with long_cells():
        for line, content in records:
            lines = list(io.StringIO(content.decode(codec), newline=""))
            parsed = list(record_reader(lines, source.delimiter))
            if len(parsed) != 1:
                return False
            _reject_rows_in_cells(parsed[0], lines, source.delimiter, width, name, line)
    return True


def _reject_rows_in_cells(
    record: list[str], lines: list[str], delimiter: str, width: int, name: str, line: int
) -> None:
    """Raise RecordsError if a cell of a record, whose lines begin with number `line`, holds rows."""
    if len(lines) > 1 and len(record) == width:
        for column, cell in enumerate(record):
            if _holds_rows(cell, column, width, delimiter, lines):
                raise RecordsError(_message(name, line, line + len(lines) - 1, cell))


def describe_ragged_rows(data: Any, source: Source, skip: int, width: int, name: str) -> str:
    """Return an error message about records whose number of cells differs from the header; empty if there are none."""
    ragged: list[tuple[int, int]] = []
    counts: Counter[int] = Counter()
    start = skip
    try:
        with text_lines(data, source, skip, errors="replace") as text, long_cells():
            reader = record_reader(text, source.delimiter, quotes=source.quotes)
            for record in reader:
                if record and len(record) != width:
                    counts[len(record)] += 1
                    if len(ragged) < 3:
                        ragged.append((start + 1, len(record)))
                    if skip + reader.line_num - start > 1 and counts.total() == 1:
                        opened = start + 1
                        return _message(name, opened, skip + reader.line_num, max(record, key=len))
                start = skip + reader.line_num
    except csv.Error:
        return f"{name}: line {start + 1} has a quote that is not closed; close it, or {AS_CHARACTERS}"
    if not counts:
        return ""
    examples = ", ".join(f"line {line} has {cells}" for line, cells in ragged)
    listed = ", ".join(f"{count:,} with {cells}" for cells, count in counts.most_common(3))
    return (
        f"{name} has {width} column names, but {counts.total():,} of its lines have a different number of cells "
        f"({examples}; {listed}): quote the cells that hold {source.delimiter!r}, fix these lines, or leave out those "
        "above the column names with --skip and those at the end with --skip-footer"
    )


def _holds_rows(cell: str, column: int, width: int, delimiter: str, lines: list[str]) -> bool:
    """Whether a cell with line breaks holds what are rows by their delimiters."""
    parts = re.split(r"\r\n|\n|\r", cell)
    if len(parts) < 2 or width < 2:
        return False
    first, *inner, last = [part.count(delimiter) for part in parts]
    if first != width - 1 - column or last != column or any(count != width - 1 for count in inner):
        return False
    if width == 2 and len(parts) < LINES_OF_TWO:
        return False
    return len(parts) > 2 or _is_malformed("".join(lines), delimiter)


def _is_malformed(record: str, delimiter: str) -> bool:
    """Whether a closing quote is followed by text, so that it may be the opening quote of another cell."""
    return bool(_strict_error(record, delimiter))


def _strict_error(record: str, delimiter: str) -> str:
    """Return what is not valid in a record, in the words of csv; empty if it is valid."""
    try:
        list(csv.reader(record.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return str(error)
    return ""


def _broken_quote(lines: list[str], record: list[str], delimiter: str) -> str:
    """Describe a quote that never closes, or closes before other text of its cell; empty if there is none."""
    if not any('"' in line for line in lines):
        return ""
    error = _strict_error("".join(lines), delimiter)
    if "unexpected end" in error:
        return "the quote that opens in line {line} never closes; close it, or " + AS_CHARACTERS
    if error and any(delimiter in cell for cell in record):
        return (
            "a quote in line {line} closes before other text of its cell, which holds a delimiter: it is more likely "
            "the quote that opens the next cell; close it, or " + AS_CHARACTERS
        )
    return ""


def _kept(text: Any, kept: list[str]) -> Iterator[str]:
    """Yield the lines of a file, and append each to `kept`."""
    for line in text:
        kept.append(line)
        yield line


def _message(name: str, opens: int, closes: int, cell: str) -> str:
    """Return the message about a cell that spans lines."""
    begins = " ".join(cell[:40].split())
    return (
        f"{name}: the quote before {begins!r} in line {opens} closes in line {closes} only, and the lines between look "
        f"like rows of their own; close it, or {AS_CHARACTERS}"
    )
