"""Trace an entity: its predictions and labels in the log, and the data and models that its rows went into."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skline import paths
from skline.contract.spec import Contract
from skline.files import sha256
from skline.lineage.artifacts import ArtifactStore
from skline.lineage.data_trace import ArtifactData, artifacts_with_data, digests_of
from skline.lineage.entity_rows import EntityRows
from skline.lineage.snapshots import MD5_DIGITS, cached_file, find_part
from skline.lineage.usage import Usage, count_predictions
from skline.logs.entity import hasher_of_log
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
#: What may hold rows of an entity too, and is not searched.
NOT_SEARCHED = (
    "predictions whose request did not name the entity, and rows that were hashed with another entity key",
    "the source, with its tables and snapshots in data/source: data/raw is what was read of it",
    "data/raw/unparsed.parquet, models/ (golden.json, fitted.json, candidate/), reports/: `dvc repro` replaces them",
    "earlier versions of the tables in DVC's cache that no artifact on record was made from, and DVC's remote",
    "replays/: each has a clone of the project with a log of its own; delete its folder",
    "MLflow's runs, stores of look-ups, topics of Kafka, exported files, backups, and the logs of other services",
)


@dataclass(frozen=True)
class ModelRows:
    """How many rows of an entity went into an artifact.

    Attributes
    ----------
    artifact_digest : str
    versions : tuple of str
        Its registered versions, NAME/NUMBER.
    rows : dict of int or None by str
        By part; None where it is not searched: its file is not here, or has no column by which rows are recognised.
    stored : int or None
        Rows that the artifact itself contains, among its reference and golden rows; None as for `rows`.
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
        As the log stores it; None if there is no entity key: then nothing that came from the log is searched.
    has_log, has_contract : bool
        Whether there is a log; whether there is data/contract.json, without which no table is searched.
    usages : tuple of Usage
        Its logged predictions by model version.
    labels : int
        Labels that name the entity.
    feedback : dict of int or None by str
        Its rows in each snapshot that `skline retrain` took from the log, here and in DVC's cache; None where it is not
        searched, because the file is not here or there is no key.
    columns : tuple of str
        The columns of the contract that may hold it; empty if there is none.
    id_columns : tuple of str
        The columns in which the rows of the feedback are found by their ids.
    rows : dict of int or None by str
        Its rows in the tables below data/, and in each part; None where it is not searched.
    models : tuple of ModelRows
        The artifacts on record.
    not_searched : tuple of str
        What may hold rows of the entity too.
    """

    entity_hash: str | None
    has_log: bool
    has_contract: bool
    usages: tuple[Usage, ...]
    labels: int
    feedback: dict[str, int | None]
    columns: tuple[str, ...]
    id_columns: tuple[str, ...]
    rows: dict[str, int | None]
    models: tuple[ModelRows, ...]
    not_searched: tuple[str, ...] = NOT_SEARCHED


def trace_entity(
    settings: LogSettings, store: ArtifactStore, entity: str, root: Path = Path(), *, has_log: bool = True
) -> EntityTrace:
    """Trace an entity.

    Parameters
    ----------
    settings : LogSettings
    store : ArtifactStore
    entity : str
        As requests and the source's table contain it.
    root : Path
        Root of the project.
    has_log : bool
        Whether there is a log. Its key may be here without it, and finds the rows that came from it.

    Raises
    ------
    SklineError
        If the log or a table cannot be read, or an artifact here was changed: what it contains is then not known.
    """
    hasher = hasher_of_log(settings)
    entity_hash = None if hasher is None else hasher(entity)
    usages: tuple[Usage, ...] = ()
    labels = 0
    if has_log and entity_hash is not None:
        usages = tuple(count_predictions(settings, "entity", [entity_hash]))
        labels = find_labels(settings, "entity", [entity_hash]).num_rows
    contract = Contract.read(root / paths.CONTRACT) if (root / paths.CONTRACT).exists() else None
    searched = EntityRows(contract, settings.entity_column, entity, entity_hash)
    artifacts = list(artifacts_with_data(store, root))
    snapshots = find_feedback(artifacts, root)
    feedback = {name: None if path is None else searched.add_snapshot(path) for name, path in snapshots.items()}
    rows: dict[str, int | None] = {}
    models: list[ModelRows] = []
    if searched.columns or searched.id_columns:
        rows, models = _count_in_tables(store, artifacts, searched, root)
    return EntityTrace(
        entity_hash=entity_hash,
        has_log=has_log,
        has_contract=contract is not None,
        usages=usages,
        labels=labels,
        feedback=feedback,
        columns=tuple(column.name for column in searched.columns),
        id_columns=searched.id_columns,
        rows=rows,
        models=tuple(models),
    )


def find_feedback(artifacts: list[ArtifactData], root: Path) -> dict[str, Path | None]:
    """Return the snapshots of the feedback by name: those here, and other ones that an artifact was made from.

    The path is None where DVC lists a snapshot that is not here.
    """
    folder = root / paths.FEEDBACK
    listed = [*folder.rglob("*.parquet"), *(path.with_suffix("") for path in folder.rglob("*.parquet.dvc"))]
    found = {path.relative_to(root).as_posix(): path if path.is_file() else None for path in sorted(set(listed))}
    present = {digest for path in found.values() if path is not None for digest in digests_of(str(path))}
    for each in artifacts:
        for file in each.snapshot.files:
            is_feedback = file.name.startswith(f"{paths.FEEDBACK.as_posix()}/") and len(file.digest) == MD5_DIGITS
            if is_feedback and file.digest not in present:
                found[f"{file.name} (md5 {file.digest}, in DVC's cache)"] = cached_file(root, file.digest)
    return found


def _count_in_tables(
    store: ArtifactStore, artifacts: list[ArtifactData], searched: EntityRows, root: Path
) -> tuple[dict[str, int | None], list[ModelRows]]:
    """Return the rows of an entity in the tables and parts that are here now, and in those of each artifact."""

    @cache  # most artifacts have a part in common
    def count(path: Path | None) -> int | None:
        return None if path is None or not path.is_file() else searched.count_in_file(path)

    current = {name: root / paths.part(name) for name in PARTS}
    digests = {name: sha256(path) for name, path in current.items() if path.is_file()}
    models = []
    for each in artifacts:
        parts = {name: find_part(root, each.snapshot, name, digests.get(name)) for name in USED_PARTS}
        is_here = bool(store.locations(each.artifact_digest))
        stored = searched.count_in_artifact(store.open(each.artifact_digest)) if is_here else None
        rows = {name: count(path) for name, path in parts.items()}
        models.append(ModelRows(each.artifact_digest, each.versions, rows, stored))
    files = {name: root / path for name, path in TABLES.items()} | current
    return {name: count(path) for name, path in files.items()}, models
