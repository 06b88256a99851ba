"""Recognise the rows of an entity in tables: by its value, and in rows from the log by its keyed hash or their ids."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline import artifact
from skline.artifact import Artifact
from skline.batches import read_batches
from skline.contract.cells import ARROW, read_cells
from skline.contract.spec import CellFormat, Column, Contract
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.feedback import ENTITY, FILLED_KINDS, number_of

TEXT = CellFormat("string")


class EntityRows:
    """Counts the rows of an entity. Call `add_snapshot` for the snapshots of the feedback first: it notes their ids.

    Parameters
    ----------
    contract : Contract or None
        None: it is not derived yet, and no column of the tables is known.
    entity_column : str or None
        The column that SKLINE_LOG__ENTITY_COLUMN names.
    entity : str
        As requests and the source's table contain it.
    entity_hash : str or None
        As the log and the feedback hold it; None if there is no key.

    Attributes
    ----------
    columns : tuple of Column
        The columns of the contract that may hold the entity, or what the feedback holds in its place.
    id_columns : tuple of str
        The columns by whose ids the rows of the feedback are found; empty until `add_snapshot` found some.
    """

    def __init__(
        self, contract: Contract | None, entity_column: str | None, entity: str, entity_hash: str | None
    ) -> None:
        every = () if contract is None else contract.columns
        self.columns = tuple(each for each in every if each.name == entity_column or each.role == "group")
        self._hash = entity_hash
        self._sought = {each.name: (CellFormat(each.kind), _values(each, entity, entity_hash)) for each in self.columns}
        self._formats = {each.name: CellFormat(each.kind) for each in every if each.role == "id"}
        self._ids: dict[str, set[object]] = {}

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns by whose ids the rows of the feedback are found."""
        return tuple(self._ids)

    def add_snapshot(self, path: Path) -> int | None:
        """Count the rows in a snapshot of the feedback, and note their ids; None without a key.

        Raises
        ------
        SklineError
            If it cannot be read.
        """
        if self._hash is None:
            return None
        sought = self._sought | {ENTITY: (TEXT, pa.array([self._hash]))}
        count = 0
        for batch in _batches(path, [*sought, *self._formats]):
            rows = batch.filter(_matches(batch, sought))
            count += rows.num_rows
            for name in self._formats.keys() & set(rows.schema.names):
                if ids := set(read_cells(rows[name], self._formats[name])[0].drop_null().to_pylist()):
                    self._ids.setdefault(name, set()).update(ids)
        return count

    def count_in_file(self, path: Path) -> int | None:
        """Count the rows in a Parquet file; None if it has no column by which they are recognised.

        Raises
        ------
        SklineError
            If it cannot be read.
        """
        return self._count(_batches(path, [*self._with_ids()]))

    def count_in_table(self, table: pa.Table) -> int | None:
        """Count the rows in a table; None if it has no column by which they are recognised."""
        return self._count(table.to_batches())

    def count_in_artifact(self, made: Artifact) -> int | None:
        """Count the rows among the reference and golden rows, which have the inputs only; None as in a table."""
        tables = [pa.Table.from_pylist(made.golden.rows)]
        if (reference := made.content.get(artifact.REFERENCE)) is not None:
            tables.append(pq.read_table(pa.BufferReader(reference)))
        counts = [count for count in map(self.count_in_table, tables) if count is not None]
        return sum(counts) if counts else None

    def _with_ids(self) -> dict[str, tuple[CellFormat, pa.Array]]:
        """Return the columns by which rows are recognised, with the format and the values that are sought in each."""
        by_id = {name: (self._formats[name], _array(ids, self._formats[name])) for name, ids in self._ids.items()}
        return self._sought | by_id

    def _count(self, batches: Iterable[pa.RecordBatch]) -> int | None:
        sought, count = self._with_ids(), None
        for batch in batches:
            if sought.keys() & set(batch.schema.names):
                count = (count or 0) + int(pc.sum(_matches(batch, sought)).as_py() or 0)
        return count


def _values(column: Column, entity: str, entity_hash: str | None) -> pa.Array:
    """Return what a column may hold in the rows of an entity: the entity, 12 as 12.0, or what the feedback fills in."""
    cell_format = CellFormat(column.kind)
    values = read_cells(pa.array([entity]), cell_format)[0].drop_null()
    if entity_hash is None or column.kind not in FILLED_KINDS:
        return values
    filled = entity_hash if column.kind == "string" else number_of(entity_hash)
    return pa.concat_arrays([values, _array([filled], cell_format)])


def _array(values: Iterable[object], cell_format: CellFormat) -> pa.Array:
    return pa.array(list(values), type=ARROW[cell_format.kind])


def _batches(path: Path, names: list[str]) -> Iterable[pa.RecordBatch]:
    """Yield the columns of a Parquet file that have one of the names; nothing if it has none."""
    try:
        present = set(pq.read_schema(path).names)
        if found := [name for name in dict.fromkeys(names) if name in present]:
            yield from read_batches(path, found)
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise SklineError(
            f"{path} cannot be read, so that its rows are not searched ({one_line(error)}); restore it, such as with "
            "`dvc checkout`, or delete it"
        ) from error


def _matches(batch: pa.RecordBatch, sought: dict[str, tuple[CellFormat, pa.Array]]) -> pa.Array:
    """Return which rows hold one of the values in one of the columns: bool of shape (n_rows,)."""
    is_match = pa.array([False] * batch.num_rows, type=pa.bool_())
    for name, (cell_format, values) in sought.items():
        if name in batch.schema.names:
            cells, _ = read_cells(batch[name], cell_format)
            is_match = pc.or_(is_match, pc.is_in(cells, value_set=values))
    return is_match
