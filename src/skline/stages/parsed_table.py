"""The table of the stage ingest after its cells are parsed: on disk, to be read as DataFrames, batch by batch.

Whole numbers and booleans of a column are float64 if a cell of it is missing anywhere in the table. That is known only
after the last row, and `prepare` of the project may depend on it; so the table is parsed first, and converted then.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from skline.contract.column_parsing import cells_to_frame, parse_cells
from skline.contract.spec import CellFormat
from skline.sources.unreadable import separate_unreadable


class ParsedBatch(NamedTuple):
    """Rows of the table, as `skline.contract.column_parsing.Parsed`: `failures` counts its rows from 0.

    `unreadable` has the rows that cannot be read, as `separate_unreadable` returns them; `frame` lacks them.
    """

    frame: pd.DataFrame
    failures: pd.DataFrame
    unreadable: pd.DataFrame


class ParsedTable:
    """Typed cells in a file, with those that could not be parsed.

    Parameters
    ----------
    folder : Path
        For its files; the caller deletes it.
    formats : mapping from column name to CellFormat
        Of the columns that are read; others are left out.

    Attributes
    ----------
    n_rows, n_batches : int
    n_unreadable : int
        The rows that cannot be read.
    n_failures : int
        The cells that could not be parsed.
    """

    def __init__(self, folder: Path, formats: Mapping[str, CellFormat]) -> None:
        self._folder = folder
        self._cells = str(folder / "cells.arrow")
        self._formats = formats
        self._with_missing: set[str] = set()
        self.n_rows = self.n_batches = self.n_failures = self.n_unreadable = 0

    def parse(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Parse all rows of the table."""
        writer = None
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        try:
            for batch in batches:
                readable, unreadable = separate_unreadable(batch)
                parsed = parse_cells(readable, self._formats)
                columns = zip(parsed.cells.schema.names, parsed.cells.columns, strict=True)
                self._with_missing |= {name for name, cells in columns if cells.null_count}
                parsed.failures.to_parquet(self._failures(self.n_batches), index=False)
                if not unreadable.empty:
                    unreadable.to_parquet(self._unreadable(self.n_batches), index=False)
                self.n_unreadable += len(unreadable)
                self.n_rows += batch.num_rows
                self.n_batches += 1
                self.n_failures += len(parsed.failures)
                writer = writer or pa.ipc.new_file(self._cells, parsed.cells.schema, options=options)
                writer.write_batch(parsed.cells)
        finally:
            if writer is not None:
                writer.close()

    def batches(self) -> Iterator[ParsedBatch]:
        """Yield the rows in the batches in which they were parsed."""
        with pa.OSFile(self._cells) as file, pa.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                cells = reader.get_batch(number)
                frame = cells_to_frame(cells, self._formats, self._with_missing)
                path = self._unreadable(number)
                unreadable = pd.read_parquet(path) if path.exists() else pd.DataFrame({"row": [], "value": []})
                yield ParsedBatch(frame, pd.read_parquet(self._failures(number)), unreadable)

    def whole(self) -> ParsedBatch:
        """Return all rows at once."""
        batches = list(self.batches())
        if len(batches) == 1:
            return batches[0]
        failures, unreadable, first_row, first_of_all = [], [], 0, 0
        for batch in batches:
            failures.append(batch.failures.assign(row=batch.failures["row"] + first_row))
            if len(batch.unreadable):
                unreadable.append(batch.unreadable.assign(row=batch.unreadable["row"] + first_of_all))
            first_row += len(batch.frame)
            first_of_all += len(batch.frame) + len(batch.unreadable)
        return ParsedBatch(
            pd.concat([batch.frame for batch in batches], ignore_index=True),
            pd.concat(failures, ignore_index=True),
            pd.concat(unreadable, ignore_index=True) if unreadable else batches[0].unreadable,
        )

    def _unreadable(self, number: int) -> Path:
        """Return the file of the rows of a batch that cannot be read."""
        return self._folder / f"unreadable-{number}.parquet"

    def _failures(self, number: int) -> Path:
        """Return the file of the cells of a batch that could not be parsed."""
        return self._folder / f"failures-{number}.parquet"
