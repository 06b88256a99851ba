"""Find the places of rows in a file, to name single cells in a message."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skline.settings.source import Source
from skline.sources.arrow_csv import Text
from skline.sources.cleaning import is_underline
from skline.sources.formats import file_format
from skline.sources.records import long_cells, record_reader, text_lines
from skline.sources.tables import opened_text


def places_of_rows(path: Path, source: Source, rows: Sequence[int]) -> dict[int, str]:
    """Name some rows as a person finds them: "line 78" of a text file, "row 78 of the sheet" of a workbook.

    Rows of any other source have neither: "row 76 (counted from 0)".

    Parameters
    ----------
    path : Path
    source : Source
    rows : sequence of int
        Positions of rows, from 0.
    """
    places = {row: f"row {row:,} (counted from 0)" for row in rows}
    kind = file_format(path, source) if places and source.query is None else None
    if kind not in ("text", "workbook"):
        return places
    with opened_text(path, source) as text:
        found = _find(text, max(places))
        if kind == "text":
            return places | {row: f"line {found[row].line:,}" for row in rows if row in found}
        titles = _title_rows(text)
        return places | {row: f"row {titles + found[row].record:,} of the sheet" for row in rows if row in found}


class _Place(NamedTuple):
    """The first line of a row in its file, and its number among the records below the titles, both from 1."""

    line: int
    record: int


def _find(text: Text, last: int) -> dict[int, _Place]:
    """Return the place of every row up to the last one; blank lines and repeated headers are no rows."""
    found: dict[int, _Place] = {}
    with text_lines(text.data, text.source, text.layout.skip) as stream, long_cells():
        reader = record_reader(stream, text.source.delimiter, quotes=text.source.quotes)
        number = 0
        if text.source.header:
            next(reader, None)
            number = 1
        while len(found) <= last:
            first = text.layout.skip + reader.line_num + 1
            record = next(reader, None)
            if record is None:
                break
            number += 1
            if any(record) and not _is_no_row(record, text.layout.names, is_first=not found):
                found[len(found)] = _Place(first, number)
    return found


def _title_rows(text: Text) -> int:
    """Return the number of rows of a sheet in the lines above its names: a row whose cells have line breaks is one."""
    with text_lines(text.data, text.source) as stream, long_cells():
        titles = itertools.islice(stream, text.layout.skip)
        return sum(1 for _ in record_reader(titles, text.source.delimiter, quotes=text.source.quotes))


def _is_no_row(record: list[str], names: list[str], *, is_first: bool) -> bool:
    """Whether a record repeats the names, or is the line of dashes below them."""
    repeated = [record[0].lstrip("\ufeff"), *record[1:]] == names
    return repeated or (is_first and len(record) > 1 and is_underline(record))
