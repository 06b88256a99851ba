"""The columns of a CSV file: where its line of names is, and what its columns are called."""

import csv
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from skline.contract.notation import LINE_BREAK, trimmed_name
from skline.errors import SklineError
from skline.settings.source import Source
from skline.sources.preamble import SEPARATOR_LINE
from skline.sources.records import record_reader, text_lines

#: Rows whose number of cells is compared with the number of names.
PEEKED_ROWS = 50
#: Columns that a message lists.
MAX_LISTED = 5


class Layout(NamedTuple):
    """Where the rows of a CSV file begin, and the names of its columns.

    Attributes
    ----------
    skip : int
        Lines above the line of names, or above the first row if there is none.
    unnamed : tuple of str
        The columns that have no name in the file, and are called by their position.
    stripped : tuple of str
        The names that have blanks around them, or line breaks in them, in the file.
    """

    names: list[str]
    skip: int
    unnamed: tuple[str, ...] = ()
    stripped: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """Say which names are not as they are in the file."""
        if not self.stripped:
            return []
        breaks = any(LINE_BREAK.search(name.strip()) for name in self.stripped)
        listed = ", ".join(map(repr, self.stripped[:MAX_LISTED]))
        return [f"{'blanks and line breaks of' if breaks else 'blanks around'} the names {listed} are removed"]


def read_layout(data: Any, source: Source, name: str) -> Layout:
    """Read the names of the columns from a binary stream, and compare their number with the first rows.

    Raises
    ------
    SklineError
        If there is none, it is not valid CSV, or two columns have the same name.
    """
    skip = source.skip
    with text_lines(data, source, skip) as text:
        line = text.readline()
        while line and (not line.strip() or (skip == 0 and SEPARATOR_LINE.fullmatch(line.strip()))):
            skip += 1
            line = text.readline()
        records, quoted = _first_records(itertools.chain([line], text), source)
    if not any(records):
        raise empty_table(name)
    first = records[0]
    rows = [row for row in records[1:] if any(row)]
    names = _fit(first, rows, quoted=quoted) if source.header else [""] * len(first)
    return named_columns(names, skip, source, name)


def empty_table(name: str) -> SklineError:
    """Return the error for a file without any line."""
    return SklineError(f"{name} is empty; a table needs a line of column names, and rows")


def _first_records(lines: Any, source: Source) -> tuple[list[list[str]], bool]:
    """Read the first records; also returns whether the line of names is quoted."""
    first = next(lines, "")
    reader = record_reader(itertools.chain([first], lines), source.delimiter, quotes=source.quotes)
    records: list[list[str]] = []
    try:
        records.extend(itertools.islice(reader, PEEKED_ROWS))
    except csv.Error as error:
        if not records:
            raise SklineError(f"the line of column names is not valid CSV: {error}") from error
    except UnicodeDecodeError:
        if not records:
            raise
    return records, first.startswith('"')


def _fit(names: list[str], rows: Sequence[Sequence[str]], *, quoted: bool) -> list[str]:
    """Fit the names to rows of another length, by delimiters at the end or by row names at the start."""
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return names
    [width] = widths
    if width > len(names) and not any(cell.strip() for row in rows for cell in row[len(names) :]):
        return [*names, *[""] * (width - len(names))]  # each row ends in delimiters
    if width == len(names) + 1 and quoted and len({row[0] for row in rows}) == len(rows):
        return ["", *names]  # as R writes row names
    return names if any(name.strip() for name in names[width:]) else names[:width]


def named_columns(names: list[str], skip: int, source: Source, name: str) -> Layout:
    """Call columns without a name by their position, and settle columns of the same name."""
    written = names
    if source.trim:
        names = [trimmed_name(each) for each in names]
    stripped = tuple(each for each, name in zip(written, names, strict=True) if each != name and name)
    unnamed = []
    settled: list[str] = []
    taken = set(names)
    for position, each in enumerate(names, 1):
        if each.strip():
            settled.append(each)
            continue
        free = f"column_{position}"
        while free in taken:
            free += "_"
        unnamed.append(free)
        settled.append(free)
    if source.rename_duplicates:
        return Layout(_renamed(settled), skip, tuple(unnamed), stripped)
    reject_duplicates(settled, name)
    return Layout(settled, skip, tuple(unnamed), stripped)


def _renamed(names: list[str]) -> list[str]:
    """Call the second column of a name NAME_2, and so on."""
    settled: list[str] = []
    for name in names:
        free, count = name, 1
        while free in settled or (count > 1 and free in names):
            count += 1
            free = f"{name}_{count}"
        settled.append(free)
    return settled


def reject_duplicates(columns: Sequence[str], name: str) -> None:
    """Raise SklineError if two columns have the same name."""
    places: dict[str, list[int]] = {}
    for position, column in enumerate(columns, 1):
        places.setdefault(column, []).append(position)
    found = [
        f"{column!r} (columns {', '.join(map(str, where[:-1]))} and {where[-1]})"
        for column, where in places.items()
        if len(where) > 1
    ]
    if found:
        more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
        raise SklineError(
            f"{name} has more than one column called {', '.join(found[:MAX_LISTED])}{more}; rename or remove all but "
            "one, or have the later ones called NAME_2 … with --rename-duplicates (source.rename_duplicates)"
        )
