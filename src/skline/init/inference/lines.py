"""Find the lines of a file on which rows begin, to name single cells in a message."""

from collections.abc import Sequence
from pathlib import Path

from skline.settings.source import Source
from skline.sources.arrow_csv import Text
from skline.sources.cleaning import is_underline
from skline.sources.formats import file_format
from skline.sources.records import long_cells, record_reader, text_lines
from skline.sources.tables import opened_text


def lines_of_rows(path: Path, source: Source, rows: Sequence[int]) -> dict[int, str]:
    """Return "line 78" for some rows of a text file, "row 76 (counted from 0)" for those of any other source.

    Parameters
    ----------
    path : Path
    source : Source
    rows : sequence of int
        Positions of rows, from 0.
    """
    places = {row: f"row {row:,} (counted from 0)" for row in rows}
    if not places or source.query is not None or file_format(path, source) != "text":
        return places
    with opened_text(path, source) as text:
        return places | {row: f"line {line:,}" for row, line in _lines(text, max(places)).items() if row in places}


def _lines(text: Text, last: int) -> dict[int, int]:
    """Return the first line of every row up to the last one; blank lines and repeated headers are no rows."""
    lines: dict[int, int] = {}
    with text_lines(text.data, text.source, text.layout.skip) as stream, long_cells():
        reader = record_reader(stream, text.source.delimiter, quotes=text.source.quotes)
        if text.source.header:
            next(reader, None)
        while len(lines) <= last:
            first = text.layout.skip + reader.line_num + 1
            record = next(reader, None)
            if record is None:
                break
            if any(record) and not _is_no_row(record, text.layout.names, is_first=not lines):
                lines[len(lines)] = first
    return lines


def _is_no_row(record: list[str], names: list[str], *, is_first: bool) -> bool:
    """Whether a record repeats the names, or is the line of dashes below them."""
    repeated = [record[0].lstrip("\ufeff"), *record[1:]] == names
    return repeated or (is_first and len(record) > 1 and is_underline(record))
