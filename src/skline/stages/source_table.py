"""Read the source, and the histories of the look-ups, which params.yaml names."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pandas as pd
import pyarrow as pa

from skline import paths
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.lookups.history import History, columns_to_read, read_history
from skline.lookups.join import join_lookups
from skline.settings.lookups import LookupSettings
from skline.settings.source import Source
from skline.sources.source import OpenedTable
from skline.sources.unreadable import UNREADABLE, require_readable


@contextmanager
def open_source(source: Source, columns: list[str]) -> Iterator[OpenedTable]:
    """Open the source to read `columns`; its remarks are printed on stderr.

    The lineage is complete after the last batch.
    """
    from skline.sources.appended import AppendedSource
    from skline.sources.kinds import table_source

    kind = table_source(source, lambda remark: print(remark, file=sys.stderr))
    if source.mode == "append":
        kind = AppendedSource.of(kind, paths.SNAPSHOTS)
    with kind.open(columns) as opened:
        yield opened


def source_lineage(source: Source, opened: OpenedTable) -> dict[str, object]:
    """Return what the lineage records about a source that has been read."""
    return {"source": source.uri, "snapshot": source.snapshot} | opened.lineage


def load_source(source: Source, columns: list[str]) -> tuple[pa.Table, list[str], dict[str, object]]:
    """Fetch the source and read `columns` into memory.

    Returns
    -------
    The table, the names of all columns of the source, and what the lineage records about the source.
    """
    with open_source(source, columns) as opened:
        table = pa.Table.from_batches(opened.batches, opened.schema)
    return table, opened.columns, source_lineage(source, opened)


class LookupJoin:
    """Adds the values that are looked up to the rows of each batch, as they were at the time of the row.

    Parameters
    ----------
    contract : Contract
    lookups : mapping from name to LookupSettings

    Raises
    ------
    SklineError
        If a history cannot be read.
    """

    def __init__(self, contract: Contract, lookups: Mapping[str, LookupSettings]) -> None:
        self._contract = contract
        self._histories: dict[str, History] = {}
        self._outcomes: dict[str, Counter[str]] = {}
        self._lineage: dict[str, dict[str, object]] = {}
        for name in contract.lookups:
            source = lookups[name].history.model_copy(update={"missing": contract.shared_missing()})
            try:
                columns = [*columns_to_read(contract, name), UNREADABLE]
                cells, _, self._lineage[name] = load_source(source, columns)
                cells = require_readable(cells)
            except SklineError as error:
                raise SklineError(f"lookups.{name}.history: {str(error).removeprefix('source.uri: ')}") from error
            self._histories[name] = read_history(cells, contract, name)

    def join(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a batch with all columns of the contract; the batch itself if none is looked up."""
        if not self._histories:
            return table
        joined = join_lookups(table, self._contract, self._histories)
        for name, outcomes in joined.outcomes.items():
            self._outcomes.setdefault(name, Counter()).update(outcomes)
        return joined.table

    def lineage(self) -> dict[str, object]:
        """Return by the name of the look-up where its history came from, and the numbers of rows by outcome."""
        return {
            name: lineage | {"outcomes": dict(self._outcomes.get(name, {}))} for name, lineage in self._lineage.items()
        }
