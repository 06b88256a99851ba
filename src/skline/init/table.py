"""Read the table and decide what each of its columns holds."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skline.errors import SklineError
from skline.init.dialect import find_dialect, ragged_line
from skline.init.guess import Guess
from skline.init.kinds import read_column
from skline.settings_source import Source
from skline.sources.tables import header, read_source

#: Guesses are made on at most so many rows, evenly spread; whether an id repeats is looked up in all.
SAMPLE_ROWS = 100_000


class Table(NamedTuple):
    """The sample of a table, how to read it, and a guess of every column."""

    cells: pa.Table
    guesses: list[Guess]
    source: dict[str, Any]
    n_rows: int
    repeated: frozenset[str]
    remarks: list[str]


def load(
    path: Path, uri: str, delimiter: str | None = None, encoding: str | None = None, query: str | None = None
) -> Table:
    """Read the file at `path`, which the project will know as `uri`, or as what `query` gives there.

    Raises
    ------
    SklineError
        If it cannot be read, has no rows, lines of unequal length, or two columns of one name.
    """
    dialect = find_dialect(path, delimiter=delimiter, encoding=encoding)
    settings = {"uri": uri} | ({} if query is None else {"query": query}) | dialect.source
    source = Source.model_validate(settings)
    columns = header(path, source)
    try:
        cells, _ = read_source(path, source, columns)
    except SklineError as error:
        if "Expected" in str(error) and (ragged := ragged_line(path, source)):
            raise SklineError(ragged) from None
        raise
    cells, unnamed = _named_alone(cells)
    n_rows = cells.num_rows
    whole = cells
    if n_rows > SAMPLE_ROWS:
        cells = cells.take(pa.array(np.linspace(0, n_rows - 1, SAMPLE_ROWS).round().astype(np.int64)))
    guesses: list[Guess] = []
    missing: set[str] = set()
    remarks = [*dialect.remarks, *unnamed]
    for name in cells.column_names:
        reading = read_column(name, cells.column(name).combine_chunks())
        if reading is None:
            remarks.append(f"{name!r} holds {cells.schema.field(name).type}, which no contract can: it is left out")
            continue
        missing |= reading.missing
        guesses.append(
            Guess(
                name,
                reading.kind,
                reading.values,
                [reading.reason],
                written=reading.written,
                looks=[reading.look] if reading.look else [],
            )
        )
    if missing:
        settings["missing"] = [*source.missing, *sorted(missing - set(source.missing))]
    return Table(cells, guesses, settings, n_rows, _repeated(whole, guesses), remarks)


def _named_alone(cells: pa.Table) -> tuple[pa.Table, list[str]]:
    """Leave out a column without a name: most often the row numbers of the program that wrote the file."""
    nameless = [name for name in cells.column_names if not re.search(r"\S", name)]
    remarks = [f"column {cells.column_names.index(name) + 1} has no name: it is left out" for name in nameless]
    return cells.drop_columns(nameless), remarks


def _repeated(cells: pa.Table, guesses: list[Guess]) -> frozenset[str]:
    """Names of the columns in which a value stands twice, in the whole table."""
    return frozenset(
        guess.name
        for guess in guesses
        if not guess.values.is_unique
        or pc.count_distinct(cells.column(guess.name), mode="all").as_py() < cells.num_rows
    )
