"""Read the source, parse each column to its type, derive the contract's columns, and record the lineage.

It never validates: a cell that cannot be parsed is left empty and listed, and the stage validate rejects its row.
The table is read, converted and written in batches of rows, so that it may be larger than the memory; only a `prepare`
that is not declared to be row-wise gets all rows at once.
"""

import datetime as dt
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from skline import paths
from skline.batches import rebatch, rows_per_batch, table_writer
from skline.contract.column_parsing import parse
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.feedback import Addition, select_rows
from skline.settings.source import Source
from skline.sources.unreadable import UNREADABLE, insert_unreadable, separate_unreadable
from skline.stages.derived_columns import Columns, call_prepare
from skline.stages.parsed_table import ParsedTable
from skline.stages.progress import show_elapsed
from skline.stages.source_table import LookupJoin, open_source, source_lineage

#: What is said if all rows are in memory.
WHOLE_TABLE = (
    "prepare() in src/model/source.py gets all {rows:,} rows at once; if each row that it returns depends on that row "
    "alone, declare ROW_WISE = True there: it then gets them in batches, whatever the size of the table"
)


class Ingested(NamedTuple):
    """The typed table, the cells that could not be parsed, and what the lineage records about the columns."""

    table: pd.DataFrame
    unparsed: pd.DataFrame
    lineage: dict[str, object]


class IngestedBatch(NamedTuple):
    """Rows of the table with the contract's columns; `unparsed` counts them from 0."""

    table: pd.DataFrame
    unparsed: pd.DataFrame


def ingest(source: pa.Table, columns: Columns) -> Ingested:
    """Parse a table in memory and derive the contract's columns.

    Parameters
    ----------
    source : pyarrow.Table
        The columns that the contract or `READS` names, as text or as stored types; UNREADABLE has the reasons of rows
        that cannot be read, of which `prepare` gets none.
    columns : Columns

    Raises
    ------
    SklineError
        If a column is missing, before or after `prepare`, or `prepare` changed the number of rows.
    """
    columns.require_reads(source.column_names)
    readable, unreadable = separate_unreadable(source)
    parsed = parse(readable, columns.formats())
    table, unparsed = insert_unreadable(columns.derive(parsed.frame), parsed.failures, unreadable)
    return Ingested(table, unparsed, columns.lineage(len(table), len(parsed.failures), len(unreadable)))


class SourceRows:
    """The rows of a parsed table with the contract's columns, until a date.

    Parameters
    ----------
    parsed : ParsedTable
    columns : Columns
    until : date or datetime, optional
        See `take_until`.
    """

    def __init__(self, parsed: ParsedTable, columns: Columns, until: dt.date | None = None) -> None:
        self._parsed, self._columns, self._until = parsed, columns, until
        self._n_rows = self._n_cells = self._n_unreadable = 0

    def batches(self) -> Iterator[IngestedBatch]:
        """Yield the rows in batches, or all at once if `prepare` is not declared to be row-wise."""
        self._n_rows = self._n_cells = self._n_unreadable = 0
        for number, parsed in enumerate(self._parsed.batches() if self._columns.row_wise else [self._parsed.whole()]):
            table = self._columns.derive(parsed.frame)
            if self._columns.row_wise and number == 0:
                self._columns.require_row_wise(parsed.frame, table)
            batch = IngestedBatch(*insert_unreadable(table, parsed.failures, parsed.unreadable))
            if self._until is not None:
                batch = take_until(batch, self._columns.contract, self._until)
            self._n_rows += len(batch.table)
            self._n_cells += len(batch.unparsed) - len(parsed.unreadable)
            self._n_unreadable += len(parsed.unreadable)
            yield batch

    def lineage(self) -> dict[str, object]:
        """Return what the lineage records about the rows, after the last batch."""
        lineage = self._columns.lineage(self._n_rows, self._n_cells, self._n_unreadable)
        if self._until is not None:
            lineage["after_until"] = self._parsed.n_rows - self._n_rows
        return lineage


def take_until(batch: IngestedBatch, contract: Contract, until: dt.date) -> IngestedBatch:
    """Return the rows of the source before a date or datetime, and those without a time, which are quarantined.

    Raises
    ------
    SklineError
        If the contract has no column of role `time`.
    """
    if not (times := contract.with_role("time")):
        raise SklineError(
            "source.until is set, and no column of src/model/contract.py has role='time'; give it to one, or remove it"
        )
    is_taken = ~(batch.table[times[0].name] >= pd.Timestamp(until))
    table, unparsed = select_rows(batch.table, batch.unparsed, is_taken)
    return IngestedBatch(table.reset_index(drop=True), unparsed)


def write_raw(batches: Callable[[], Iterator[IngestedBatch]], lookups: LookupJoin, addition: Addition) -> int:
    """Write data/raw: the batches with the values that are looked up, and the feedback; returns the number of rows.

    `batches` is called once more if there is feedback, to see which of its rows the table has.
    """
    if not addition.is_empty:
        for batch in batches():
            addition.see(batch.table)
    with table_writer(paths.RAW) as raw, table_writer(paths.UNPARSED) as unparsed:
        for batch in batches():
            table, cells = addition.take(lookups.join(batch.table), batch.unparsed)
            unparsed.write(cells.assign(row=cells["row"] + raw.n_rows))
            raw.write(table)
        if not addition.is_empty:
            raw.write(addition.rows())
    return raw.n_rows


def parse_source(source: Source, contract: Contract, name: str, folder: Path) -> tuple[SourceRows, dict[str, object]]:
    """Read the source and parse it into files in `folder`.

    Parameters
    ----------
    source : Source
    contract : Contract
        The columns to read.
    name : str
        Of the source, in messages.
    folder : Path

    Returns
    -------
    The rows, and what the lineage records about the source.
    """
    from model import source as declared
    from skline.contract.table import KINDS

    reads = {each: KINDS[kind] for each, kind in declared.READS.items()}
    with open_source(source, [*(column.name for column in contract.columns), *reads, UNREADABLE]) as opened:
        prepare, row_wise = partial(call_prepare, declared.prepare), getattr(declared, "ROW_WISE", False)
        columns = Columns(opened.columns, contract, reads, prepare, row_wise=row_wise, source=name)
        columns.require_reads(opened.schema.names)
        parsed = ParsedTable(folder, columns.formats())
        with show_elapsed("read"):
            parsed.parse(rebatch(opened.batches, opened.schema, rows_per_batch(len(opened.schema.names))))
    if parsed.n_batches > 1 and not row_wise:
        print(WHOLE_TABLE.format(rows=parsed.n_rows), file=sys.stderr)
    return SourceRows(parsed, columns, source.until), source_lineage(source, opened)


def main() -> None:
    """Read the contract and the source; write data/contract.json, data/raw and reports/lineage.json."""
    from skline.feedback import read_feedback
    from skline.files import remove_leftovers, write_json, write_text
    from skline.settings import Settings
    from skline.stages.declared import read_declared

    settings = Settings.load()
    contract = read_declared(settings.source, settings.lookups).contract
    source = settings.source.model_copy(update={"missing": contract.shared_missing()})
    feedback = read_feedback(
        paths.FEEDBACK,
        contract,
        drawn_only=settings.train.weights.selection is not None,
        fitted_snapshots=settings.source.fitted_snapshots,
    )
    addition = Addition(feedback.rows, contract, settings.source.window)
    paths.RAW.parent.mkdir(parents=True, exist_ok=True)
    # DVC keeps the folder, so that the last table stays if the source cannot be read; a killed run leaves files there.
    remove_leftovers(paths.RAW.parent)
    with tempfile.TemporaryDirectory(dir=paths.RAW.parent, prefix=".parsed.") as folder:
        rows, lineage = parse_source(source, contract.for_requests(), settings.source.uri, Path(folder))
        lookups = LookupJoin(contract, settings.lookups)
        with show_elapsed("convert"):
            total = write_raw(rows.batches, lookups, addition)
    write_text(paths.CONTRACT, contract.to_json())
    lineage |= rows.lineage() | ({"lookups": lookups.lineage()} if contract.lookups else {})
    feedback_lineage = addition.lineage()
    if feedback_lineage:
        counts = {} if feedback.not_drawn is None else {"not_drawn": feedback.not_drawn}
        lineage["feedback"] = feedback_lineage | counts
    write_json(paths.LINEAGE, lineage)
    print(f"{lineage['rows']:,} rows from {settings.source.uri}")
    if feedback_lineage:
        print(f"{feedback_lineage['rows']:,} rows of feedback, {total:,} rows in all")
    if feedback.not_drawn:
        print(f"left out by train.weights.selection: {feedback.not_drawn:,} rows that were not drawn at random")
