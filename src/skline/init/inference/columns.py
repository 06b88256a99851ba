"""Infer the kinds of all columns of a table together, and name the cells that are not of the kind of their column."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.cells import is_text
from skline.contract.notation import WHITESPACE
from skline.contract.spec import DEFAULT_MISSING
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.kinds import ParsedColumn, infer_column
from skline.init.inference.missing_words import AMBIGUOUS, NO_EVIDENCE, TableEvidence

#: Texts of which more than this share of the cells is different are no categories.
MAX_CATEGORY_SHARE = 0.5
#: Cells that a message names.
MAX_NAMED = 3
KIND_NAMES = {"integer": "number", "number": "number", "date": "date", "datetime": "datetime"}

#: Returns a name such as "line 78" for each of some rows of the inferred cells.
Locate = Callable[[Sequence[int]], dict[int, str]]


class InferredColumns(NamedTuple):
    """The columns, and what a person should check."""

    guesses: list[ColumnGuess]
    remarks: list[str]


def infer_columns(cells: pa.Table, locate: Locate, usual: Sequence[str] = DEFAULT_MISSING) -> InferredColumns:
    """Infer what each column holds.

    Parameters
    ----------
    cells : pyarrow.Table
        Text of a CSV file, with all words for missing values, or the stored types of a Parquet file.
    locate : function
    usual : sequence of str
        Words for missing values that need no mention in the contract.
    """
    with ThreadPoolExecutor() as threads:  # Arrow computes without Python's lock
        columns = threads.map(lambda name: infer_column(name, cells.column(name).combine_chunks()), cells.column_names)
    parsed = dict(zip(cells.column_names, columns, strict=True))
    known = {name: column for name, column in parsed.items() if column is not None}
    evidence = gather_evidence(cells, known)
    for name, column in known.items():
        if evidence != NO_EVIDENCE and _depends_on_others(cells, name, column):
            again = infer_column(name, cells.column(name).combine_chunks(), evidence)
            known[name] = column if again is None else again
    unsupported = [
        f"{name!r} is excluded: no contract supports the type {cells.schema.field(name).type}"
        for name in cells.column_names
        if name not in known
    ]
    guesses = [_guess(cells, name, column, locate, usual) for name, column in known.items()]
    return InferredColumns(guesses, [*unsupported, *_describe_padding(cells, guesses, locate)])


def gather_evidence(cells: pa.Table, parsed: dict[str, ParsedColumn]) -> TableEvidence:
    """Return what columns that can be read in one way only say about the others."""
    typed = [column for column in parsed.values() if column.kind != "string"]
    return TableEvidence(
        missing=frozenset[str]().union(*(column.missing - column.odd for column in typed)),
        has_blanks=any(cells.column(name).null_count for name in parsed if is_text(cells.schema.field(name).type)),
        decimals=frozenset(column.decimal for column in typed if column.decimal),
    )


def _depends_on_others(cells: pa.Table, name: str, column: ParsedColumn) -> bool:
    """Whether other columns may say how this one is read."""
    if column.kind in ("integer", "number"):
        return bool(column.doubts) or (column.notation is not None and not column.decimal)
    if column.kind != "string" or not is_text(cells.schema.field(name).type):
        return False
    return bool(column.categories or column.missing & set(AMBIGUOUS))


def _rows_with(cells: pa.ChunkedArray, texts: frozenset[str]) -> npt.NDArray[np.int64]:
    """Return the positions of the cells that hold one of these texts."""
    trimmed = pc.utf8_trim(cells.cast(pa.string()), characters=WHITESPACE)
    found = pc.is_in(trimmed, value_set=pa.array(sorted(texts), pa.string()))
    return np.flatnonzero(found.to_numpy())


def _guess(cells: pa.Table, name: str, column: ParsedColumn, locate: Locate, usual: Sequence[str]) -> ColumnGuess:
    """Turn a parsed column into a guess that names its odd cells."""
    problem = _describe_odd(cells.column(name), column, locate) if column.odd else column.near_miss
    guess = ColumnGuess(
        name,
        column.kind,
        column.values,
        [column.reason],
        notation=column.notation,
        missing=_missing_of_column(column.missing, column.categories, usual),
        near_miss=problem if column.near_miss else "",
        labels=column.labels,
        with_point=column.with_point,
        doubts=list(column.doubts),
    )
    if guess.kind == "string":
        guess.doubts += _describe_case(cells.column(name), guess, locate)
    if column.near_miss:
        guess.doubts.append(f"{problem}; it is read as text")
    elif column.odd:
        guess.doubts.append(f"{problem}; {'it counts' if problem.startswith('1 of') else 'they count'} as missing")
    return guess


def _describe_odd(cells: pa.ChunkedArray, column: ParsedColumn, locate: Locate) -> str:
    """Name the cells that are not of the kind: "3 of 4,800 cells are no numbers: line 78 'ND', line 90 '#REF!', …"."""
    rows = _rows_with(cells, column.odd)
    named = rows[:MAX_NAMED].tolist()
    places = locate(named)
    texts = [f"{places[row]} {cells[row].as_py().strip()!r}" for row in named]
    listed = ", ".join([*texts, *(["…"] if len(rows) > MAX_NAMED else [])])
    if column.near_miss:
        return f"{column.near_miss}; {'others are in ' if len(rows) > 1 else 'the other is in '}{listed}"
    filled = len(cells) - cells.null_count
    verb = "is" if len(rows) == 1 else "are"
    if column.kind == "boolean":
        answers = column.reason.partition(";")[0].removeprefix("only ").replace(" and ", " nor ")
        return f"{len(rows):,} of {filled:,} cells {verb} neither {answers}: {listed}"
    if column.kind == "string":
        named_errors = "an error of a spreadsheet" if len(rows) == 1 else "errors of a spreadsheet"
        return f"{len(rows):,} of {filled:,} cells {verb} {named_errors}: {listed}"
    negation = f"not a {KIND_NAMES[column.kind]}" if len(rows) == 1 else f"no {KIND_NAMES[column.kind]}s"
    return f"{len(rows):,} of {filled:,} cells {verb} {negation}: {listed}"


def _describe_case(cells: pa.ChunkedArray, guess: ColumnGuess, locate: Locate) -> list[str]:
    """Name categories that differ only in the case of letters; texts that hardly repeat are no categories."""
    counts = guess.counts
    if len(counts) > MAX_CATEGORY_SHARE * len(guess.values):
        return []
    spellings: dict[str, list[str]] = {}
    for text in counts.index:  # the most frequent first
        spellings.setdefault(text.casefold(), []).append(text)
    same = [texts for texts in spellings.values() if len(texts) > 1]
    if not same:
        return []
    common, other = same[0][:2]
    row = int(_rows_with(cells, frozenset({other}))[0])
    more = f", and {len(same) - 1} more" if len(same) > 1 else ""
    described = (
        f"{common!r} ({counts[common]:,}) and {other!r} ({counts[other]:,}; {locate([row])[row]}) differ only in case"
        f"{more}: they are different categories; if they mean the same, change them in src/model/source.py"
    )
    return [described]


def _missing_of_column(missing: frozenset[str], categories: frozenset[str], usual: Sequence[str]) -> list[str] | None:
    """Return the words for a missing value in this column; None if they are the usual ones."""
    if categories & set(usual):
        return sorted((missing | set(usual)) - categories - {""})
    extra = sorted(missing - set(DEFAULT_MISSING))
    return [*DEFAULT_MISSING, *extra] if missing - set(usual) else None


def _describe_padding(cells: pa.Table, guesses: list[ColumnGuess], locate: Locate) -> list[str]:
    """Describe blanks and tabs around texts, which are removed from then on; empty if there are none."""
    padded: list[tuple[str, int, int]] = []
    for guess in guesses:
        column = cells.column(guess.name)
        if guess.kind == "string" and is_text(column.type):
            text = column.cast(pa.string())
            rows = np.flatnonzero(
                pc.not_equal(text, pc.utf8_trim(text, characters=WHITESPACE)).fill_null(False).to_numpy()
            )
            padded += [(guess.name, len(rows), int(rows[0]))] if len(rows) else []
    if not padded:
        return []
    name, count, first = padded[0]
    more = f", and of {len(padded) - 1} more columns" if len(padded) > 1 else ""
    example = f"{locate([first])[first]} has {cells.column(name)[first].as_py()[:60]!r}"
    return [f"blanks around {count:,} cell{'s' * (count != 1)} of {name!r}{more} are removed: {example}"]
