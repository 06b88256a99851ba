"""Read the table, and infer the kind of each column."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.errors import SklineError
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.columns import infer_columns
from skline.init.inference.lines import places_of_rows
from skline.init.inference.roles import id_reason
from skline.settings.source import Source
from skline.sources.dialect import detect_dialect
from skline.sources.formats import file_format
from skline.sources.layout import Layout
from skline.sources.quotes import RecordsError
from skline.sources.tables import opened_text, read_source

#: Columns are inferred from at most this many rows, evenly spread; repeated values are searched in all rows.
SAMPLE_ROWS = 100_000


class InspectedTable(NamedTuple):
    """A sample of a table, and what was inferred.

    Attributes
    ----------
    cells : pyarrow.Table
        The sample.
    source : dict
        The section `source` of params.yaml.
    n_rows : int
        Rows of the whole table.
    repeated : frozenset of str
        The columns, of those that may be ids, in which a value occurs twice in the whole table.
    remarks : list of str
        What a person should check.
    """

    cells: pa.Table
    guesses: list[ColumnGuess]
    source: dict[str, Any]
    n_rows: int
    repeated: frozenset[str]
    remarks: list[str]


def inspect_table(path: Path, address: dict[str, Any], given: dict[str, Any]) -> InspectedTable:
    """Read the file at `path`, the local copy of the table.

    Parameters
    ----------
    path : Path
    address : dict
        Settings of the section `source` that say where the table is.
    given : dict
        Settings of the section `source` that are not detected.

    Raises
    ------
    SklineError
        If it cannot be read, has no rows, lines with different numbers of cells, or two columns of the same name.
    """
    dialect = detect_dialect(path, given)
    settings = address | dialect.source
    cells, remarks = _read(path, settings)
    source = Source.model_validate(settings)
    layout = _layout(path, source)
    if layout is not None:
        cells = cells.rename_columns(layout.names)
        remarks += layout.remarks()
    cells, unnamed_remarks = _settle_unnamed(cells, layout.unnamed if layout is not None and source.header else ())
    n_rows = cells.num_rows
    whole = cells
    if n_rows > SAMPLE_ROWS:
        cells = cells.take(pa.array(_sampled_rows(n_rows)))
    cells = cells.combine_chunks()

    def locate(rows: Sequence[int]) -> dict[int, str]:
        positions = {row: int(_sampled_rows(n_rows)[row]) for row in rows}
        places = places_of_rows(path, source, list(positions.values()))
        return {row: places[position] for row, position in positions.items()}

    guesses, inferred_remarks = infer_columns(cells, locate, source.missing_words)
    repeated = _columns_with_repeats(whole, guesses)
    remarks = [*dialect.remarks, *remarks, *unnamed_remarks, *inferred_remarks]
    return InspectedTable(cells, guesses, settings, n_rows, repeated, remarks)


def _sampled_rows(n_rows: int) -> npt.NDArray[np.int64]:
    """Return the positions of the rows from which columns are inferred."""
    if n_rows <= SAMPLE_ROWS:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, SAMPLE_ROWS).round().astype(np.int64)


def _read(path: Path, settings: dict[str, Any]) -> tuple[pa.Table, list[str]]:
    """Read the table; if its quotes do not fit, without quotes, and `settings` then say so. Also returns remarks."""
    remarks: list[str] = []
    try:
        return _read_raw(path, settings, remarks), remarks
    except RecordsError as error:
        if "quotes" in settings:
            raise
        remarks = [f"quotes are read as ordinary characters, because they do not enclose cells: {error}"]
        try:
            cells = _read_raw(path, settings | {"quotes": False}, remarks)
        except SklineError:
            raise error from None
        if _enclosed_cells(cells):
            raise
    settings["quotes"] = False
    return cells, remarks


def _read_raw(path: Path, settings: dict[str, Any], remarks: list[str]) -> pa.Table:
    """Read all cells as they are written.

    Words for missing values are read as text here, because each column decides what they mean in it; so are blanks
    around cells, because they are reported with their lines.
    """
    source = Source.model_validate(settings | {"missing": ("",), "trim": False})
    return read_source(path, source, None, remarks.append)[0]


def _enclosed_cells(cells: pa.Table) -> bool:
    """Whether more cells and names are enclosed in quotes than begin with a quote that does not end them."""
    enclosed = sum(name.startswith('"') and name.endswith('"') for name in cells.column_names)
    opened = 0
    for column in cells.columns:
        begins = pc.starts_with(column, '"')
        both = pc.and_(begins, pc.match_substring_regex(column, '^".*"$'))
        count = pc.sum(both).as_py() or 0
        enclosed += count
        opened += (pc.sum(begins).as_py() or 0) - count
    return bool(enclosed > opened)


def _layout(path: Path, source: Source) -> Layout | None:
    """Return the names of the columns of a file of text; None for Parquet."""
    if file_format(path, source) == "parquet":
        return None
    with opened_text(path, source) as text:
        return text.layout


def _settle_unnamed(cells: pa.Table, unnamed: tuple[str, ...]) -> tuple[pa.Table, list[str]]:
    """Drop columns without a name that are empty or hold the numbers of the rows; returns remarks about all."""
    remarks, excluded = [], []
    for name in [*unnamed, *(name for name in cells.column_names if not re.search(r"\S", name))]:
        column, position = cells.column(name), cells.column_names.index(name) + 1
        if column.null_count == len(column):
            remarks.append(f"column {position} is excluded: it has neither a name nor a value")
        elif name not in unnamed:  # in a Parquet file
            remarks.append(f"column {position} is excluded: it has no name")
        elif _are_row_numbers(column):
            remarks.append(f"column {position} is excluded: it has no name, and its values are the row numbers")
        else:
            remarks.append(f"column {position} has no name, and is called {name!r}")
            continue
        excluded.append(name)
    return cells.drop_columns(excluded), remarks


def _are_row_numbers(column: pa.ChunkedArray) -> bool:
    """Whether texts are whole numbers, each one more than the one before."""
    try:
        numbers = column.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return False
    return bool(column.null_count == 0 and np.all(np.diff(numbers) == 1))


def _columns_with_repeats(cells: pa.Table, guesses: list[ColumnGuess]) -> frozenset[str]:
    """Return the names of the columns, of those that may be ids, in which a value occurs twice in the whole table."""
    return frozenset(
        guess.name
        for guess in guesses
        if id_reason(guess) is not None
        and (
            guess.n_distinct < guess.values.count()
            or pc.count_distinct(cells.column(guess.name), mode="all").as_py() < cells.num_rows
        )
    )
