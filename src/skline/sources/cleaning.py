"""Cells and lines that do not mean what they are: blanks around cells, lines of delimiters, a repeated header."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.blanks import may_have_blanks
from skline.contract.notation import WHITESPACE
from skline.settings.source import Source
from skline.sources.layout import Layout

UNDERLINE = re.compile(r"-+|=+")

Cells = TypeVar("Cells", pa.Table, pa.RecordBatch)


def trimmed(table: Cells, missing: Sequence[str]) -> tuple[Cells, list[str]]:
    """Strip blanks around every cell; a cell that is in `missing` afterwards becomes null.

    Returns
    -------
    The table, and the columns in which a text that is no number changes.
    """
    changed = []
    for index, field in enumerate(table.schema):
        cells = table.column(index)
        if not may_have_blanks(cells):
            continue
        stripped = pc.utf8_trim(cells.cast(pa.string()), characters=WHITESPACE)
        empty = pc.is_in(stripped, value_set=pa.array(missing, pa.string()))
        different = pc.and_(pc.not_equal(stripped, cells.cast(pa.string())), pc.invert(empty))
        if _have_letters(stripped.filter(different)):
            changed.append(field.name)
        table = table.set_column(index, field, pc.if_else(empty, None, stripped).cast(field.type))
    return table, changed


def _have_letters(cells: Any) -> bool:
    """Whether one of the first of these texts has a letter."""
    return any(char.isalpha() for text in cells[:1000].to_pylist() if text for char in text)


def repeated_headers(table: Cells, skipped: frozenset[int] = frozenset(), *, padded: bool = False) -> list[int]:
    """Return the rows whose cells are the names of their columns; of a single column, none.

    Parameters
    ----------
    table : Table
    skipped : set of int
        Columns that have no name in the file.
    padded : bool
        Whether cells may have blanks around them.
    """
    if table.num_columns - len(skipped) < 2 or table.num_rows == 0:  # Arrow crashes on an empty column
        return []
    rows: list[int] | None = None
    for index, name in enumerate(table.column_names):
        if index in skipped:
            continue
        cells = table.column(index) if rows is None else table.column(index).take(pa.array(rows, pa.int64()))
        cells = cells.cast(pa.string())  # a dictionary is decoded
        if index == 0:  # a file that was appended to another begins with its byte order mark
            cells = pc.utf8_ltrim(cells, characters="\ufeff")
        if padded:
            cells = pc.utf8_trim(cells, characters=WHITESPACE)
        same = pc.equal(cells, name.strip(WHITESPACE) if padded else name)
        found = pc.indices_nonzero(pc.fill_null(same, False)).to_pylist()
        rows = found if rows is None else [rows[position] for position in found]
        if not rows:
            return []
    return rows or []


def is_underline(record: Sequence[str | None]) -> bool:
    """Whether a record is a line of dashes, which some programs write below the column names."""
    return all(cell and UNDERLINE.fullmatch(cell.strip()) for cell in record) and any(
        len((cell or "").strip()) > 2 for cell in record
    )


def begins_with_underline(table: Cells) -> bool:
    """Whether the first row is a line of dashes; not in a single column, where it may be a missing value."""
    if table.num_columns < 2 or table.num_rows == 0:
        return False
    return is_underline([column[0].as_py() for column in table.columns])


def without_rows(table: Cells, rows: Sequence[int]) -> Cells:
    """Return a table without some rows."""
    keep = np.ones(table.num_rows, bool)
    keep[rows] = False
    return table.filter(pa.array(keep))


class Cleaner:
    """Cleans the rows of a text, batch after batch: blanks around cells, and lines that are no rows.

    Parameters
    ----------
    source : Source
    layout : Layout
    names : list of str
        The columns that are read.
    may_have_blanks : bool
        Whether a cell may begin or end with a blank.
    """

    def __init__(self, source: Source, layout: Layout, names: Sequence[str], *, may_have_blanks: bool) -> None:
        self._source = source
        self._names = list(names)
        self._unnamed = frozenset(self._names.index(name) for name in layout.unnamed if name in self._names)
        self._may_have_blanks = may_have_blanks
        self._n_rows = self._n_repeated = 0
        self._trimmed: set[str] = set()
        self._first_repeated: int | None = None
        self._has_begun = self._has_underline = False

    def clean(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the next batch without blanks around cells, and without lines that repeat the column names."""
        n_read = batch.num_rows
        if self._source.trim and self._may_have_blanks:
            batch, changed = trimmed(batch, self._source.missing)
            self._trimmed.update(changed)
        if self._source.header:
            repeated = repeated_headers(batch, self._unnamed, padded=self._may_have_blanks)
            if repeated:
                if self._first_repeated is None:
                    self._first_repeated = self._n_rows + repeated[0]
                self._n_repeated += len(repeated)
                batch = without_rows(batch, repeated)
            if not self._has_begun and batch.num_rows:
                self._has_begun = True
                if begins_with_underline(batch):
                    self._has_underline = True
                    batch = without_rows(batch, [0])
        self._n_rows += n_read
        return batch

    def remarks(self, line_of: Callable[[int], int]) -> list[str]:
        """Return what was cleaned, as sentences, after the last batch; `line_of` returns the line of a row."""
        remarks = []
        if self._trimmed:
            changed = [name for name in self._names if name in self._trimmed]
            remarks.append(f"blanks around the cells of {', '.join(map(repr, changed))} are removed")
        if self._first_repeated is not None:
            first = line_of(self._first_repeated)
            more = f", and {self._n_repeated - 1:,} more lines" if self._n_repeated > 1 else ""
            remarks.append(f"line {first:,}{more} repeats the column names and is skipped")
        if self._has_underline:
            remarks.append(f"line {line_of(0):,} is skipped: it is a line of dashes below the column names")
        return remarks


class RowLines(io.RawIOBase):
    """A stream without its first and last lines, and those that are `delimiters` only."""

    def __init__(self, stream: Any, delimiters: str, skip: int, skip_footer: int, chunk_bytes: int = 1 << 22) -> None:
        self._stream = stream
        self._delimiters = re.compile(rb"(?m)^" + re.escape(delimiters.encode()) + rb"\r?(?:\n|\Z)")
        self._has_delimiters = bool(delimiters)
        self._skip, self._footer = skip, skip_footer
        self._chunk_bytes = chunk_bytes
        self._pending = b""
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`; returns the number of bytes."""
        while not self._ready and not self._ended:
            self._advance()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self) -> None:
        """Move whole lines from the stream to what is ready, and hold back the last ones."""
        chunk = self._stream.read(self._chunk_bytes)
        self._pending += chunk
        self._ended = not chunk
        newline = b"\n" if b"\n" in self._pending else b"\r"
        while self._skip and newline in self._pending:
            self._pending = self._pending.partition(newline)[2]
            self._skip -= 1
        end = len(self._pending)
        if self._ended and self._pending.endswith(newline):
            end -= 1
        for _ in range(self._footer if self._ended else self._footer + 1):
            end = self._pending.rfind(newline, 0, max(end, 0))
        if end < 0:
            if self._ended:
                self._pending = b""
            return
        end = len(self._pending) if self._ended and not self._footer else end + 1
        lines, self._pending = self._pending[:end], self._pending[end:]
        self._ready = self._delimiters.sub(b"", lines) if self._has_delimiters else lines
