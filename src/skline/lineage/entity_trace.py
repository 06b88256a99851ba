"""Trace an entity: its predictions and labels in the log, and the data and models that its rows went into."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline import artifact, paths
from skline.artifact import Artifact
from skline.contract.cells import read_cells
from skline.contract.spec import CellFormat, Column, Contract
from skline.files import sha256
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.data_trace import artifacts_with_data
from skline.lineage.snapshots import find_part
from skline.lineage.usage import Usage, count_predictions
from skline.logs.entity import EntityHasher
from skline.logs.lookup import find_labels
from skline.logs.settings import LogSettings
from skline.partition import FITTED_PARTS, PARTS

#: Tables of the project that may hold rows of an entity, besides the parts.
TABLES = {
    "raw": paths.RAW,
    "validated": paths.VALIDATED,
    "unlabelled": paths.UNLABELLED,
    "quarantine": paths.QUARANTINE,
}
#: The parts that an artifact is fitted or evaluated on.
USED_PARTS = (*FITTED_PARTS, "test")


@dataclass(frozen=True)
class ModelRows:
    """How many rows of an entity went into an artifact.

    Attributes
    ----------
    artifact_digest : str
    versions : tuple of str
        Its registered versions, NAME/NUMBER.
    rows : dict of int or None by str
        By part; None where the part's file is not here.
    stored : int or None
        Rows that the artifact itself contains, among its reference and golden rows; None if it is not here.
    """

    artifact_digest: str
    versions: tuple[str, ...]
    rows: dict[str, int | None]
    stored: int | None


@dataclass(frozen=True)
class EntityTrace:
    """What is recorded about an entity.

    Attributes
    ----------
    entity_hash : str or None
        As the log stores it; None if there is no entity key, and so no entity in the log.
    usages : tuple of Usage
        Its logged predictions by model version.
    labels : int
        Labels that name the entity.
    columns : tuple of str
        The columns of the source's table that may hold it; empty if there is none.
    rows : dict of int or None by str
        Its rows in the tables below data/, and in each part; None where the file is not here.
    models : tuple of ModelRows
        The artifacts on record.
    """

    entity_hash: str | None
    usages: tuple[Usage, ...]
    labels: int
    columns: tuple[str, ...]
    rows: dict[str, int | None]
    models: tuple[ModelRows, ...]


def trace_entity(settings: LogSettings | None, store: ArtifactStore, entity: str, root: Path = Path()) -> EntityTrace:
    """Trace an entity.

    Parameters
    ----------
    settings : LogSettings or None
        None: there is no log.
    store : ArtifactStore
    entity : str
        As requests and the source's table contain it.
    root : Path
        Root of the project.

    Raises
    ------
    SklineError
        If the log cannot be read, or an artifact here was changed: what it contains is then not known.
    """
    entity_hash: str | None = None
    usages: tuple[Usage, ...] = ()
    labels = 0
    if settings is not None and (settings.entity_key is not None or settings.key_file.exists()):
        entity_hash = EntityHasher(settings)(entity)
        usages = tuple(count_predictions(settings, "entity", [entity_hash]))
        labels = find_labels(settings, "entity", [entity_hash]).num_rows
    columns = entity_columns(root / paths.CONTRACT, None if settings is None else settings.entity_column)
    rows, models = _count_in_tables(store, columns, entity, root) if columns else ({}, [])
    names = tuple(column.name for column in columns)
    return EntityTrace(entity_hash, usages, labels, names, rows, tuple(models))


def _count_in_tables(
    store: ArtifactStore, columns: Sequence[Column], entity: str, root: Path
) -> tuple[dict[str, int | None], list[ModelRows]]:
    """Return the rows of an entity in the tables and parts that are here now, and in those of each artifact."""

    @cache  # most artifacts have a part in common
    def count(path: Path | None) -> int | None:
        return None if path is None or not path.is_file() else count_rows(pq.read_table(path), columns, entity)

    current = {name: root / paths.part(name) for name in PARTS}
    digests = {name: sha256(path) for name, path in current.items() if path.is_file()}
    models = []
    for each in artifacts_with_data(store, root):
        parts = {name: find_part(root, each.snapshot, name, digests.get(name)) for name in USED_PARTS}
        is_here = bool(store.locations(each.artifact_digest))
        stored = count_stored_rows(store.open(each.artifact_digest), columns, entity) if is_here else None
        rows = {name: count(path) for name, path in parts.items()}
        models.append(ModelRows(each.artifact_digest, each.versions, rows, stored))
    files = {name: root / path for name, path in TABLES.items()} | current
    return {name: count(path) for name, path in files.items()}, models


def entity_columns(contract: Path, entity_column: str | None) -> tuple[Column, ...]:
    """Return the columns that may hold an entity: the log's entity column, and the groups of the contract."""
    if not contract.exists():
        return ()
    columns = Contract.read(contract).columns
    return tuple(column for column in columns if column.name == entity_column or column.role == "group")


def count_rows(table: pa.Table, columns: Sequence[Column], entity: str) -> int:
    """Count the rows in which one of the columns holds the entity; 12 and 12.0 are the same."""
    is_match = pa.array([False] * table.num_rows, type=pa.bool_())
    for column in columns:
        if column.name in table.column_names:
            cell_format = CellFormat(column.kind)
            values, _ = read_cells(table[column.name].combine_chunks(), cell_format)
            [parsed], _ = read_cells(pa.array([entity]), cell_format)
            if parsed.is_valid:
                is_match = pc.or_(is_match, pc.fill_null(pc.equal(values, parsed), False))
    return int(pc.sum(is_match).as_py() or 0)


def count_stored_rows(made: Artifact, columns: Sequence[Column], entity: str) -> int:
    """Count the rows of an entity among the reference and golden rows of an artifact, which have the inputs only."""
    reference = made.content.get(artifact.REFERENCE)
    rows = 0 if reference is None else count_rows(pq.read_table(pa.BufferReader(reference)), columns, entity)
    return rows + count_rows(pa.Table.from_pylist(made.golden.rows), columns, entity)
