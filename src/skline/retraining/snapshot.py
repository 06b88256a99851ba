"""Turn the labels that matured in a period into a snapshot of the training source; see `skline.feedback`.

Rows that break the contract are left out and counted. Equal logs give equal bytes.
"""

import datetime as dt
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from skline.contract.frames import to_frame, to_storage
from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Kind, Row, Scalar
from skline.counting import counted
from skline.errors import SklineError
from skline.feedback import (
    FILLED_KINDS,
    LINEAGE,
    Snapshot,
    list_snapshots,
    newest_rows,
    number_of,
    snapshot_path,
)
from skline.files import atomic_write, write_text
from skline.init.project import track_table
from skline.logs.labels import label_validator
from skline.logs.records import REVIEW_SAMPLE
from skline.monitoring.performance import inclusion_periods
from skline.retraining.matured import Matured
from skline.stages.declared import Declared
from skline.stages.derived_columns import call_prepare, conform
from skline.stages.validate import validate

_UTC = pa.timestamp("us", tz="UTC")
_TYPES = {
    "log.predicted_at": _UTC, "log.event_time": _UTC, "log.labelled_at": _UTC, "log.label_revision": pa.int64(),
    "log.review": pa.int64(), "log.selected": pa.bool_(), "log.inclusion_probability": pa.float64(),
}  # fmt: skip
#: Column of the log → column of the lineage.
_LOGGED = {
    "prediction_id": "log.prediction_id", "time": "log.predicted_at", "model_version": "log.model_version",
    "artifact_digest": "log.artifact_digest", "entity": "log.entity", "event_time": "log.event_time",
    "labelled_at": "log.labelled_at", "label_revision": "log.label_revision", "review": "log.review",
}  # fmt: skip
HOOK = "prepare_feedback()"
#: Faults of inputs and labels that a message lists.
MAX_FAULTS = 5
#: What git ignores in the folder of the snapshots: they, and parts of them that a killed process has left.
IGNORED = ("/*.parquet", "/.*.parquet.*")


class SnapshotContent(NamedTuple):
    """The rows of a snapshot, and how many were left out.

    Attributes
    ----------
    rows : DataFrame
        The contract's columns, with their storage dtypes, and those of `LINEAGE`.
    left_out : int
        Rows that break the contract.
    superseded : int
        Rows of the same event as another one, whose label or prediction is newer.
    broken_rules : list of str
        The rules that are broken, the most frequent first, with the number of rows.
    """

    rows: pd.DataFrame
    left_out: int
    superseded: int
    broken_rules: list[str]


def build_content(matured: Matured, declared: Declared, full_coverage: float) -> SnapshotContent:
    """Return the rows of a snapshot.

    Columns that the log lacks are filled: an id by the prediction's id, a time by the event's time, else the
    prediction's, and a group by the entity's keyed hash, where the request names an entity; numbers are hashes of these
    texts. All others are missing, unless `prepare_feedback` of src/model/source.py fills them.

    Parameters
    ----------
    matured : Matured
    declared : Declared
    full_coverage : float
        Share of labelled predictions from which on no label is taken to be selected.

    Raises
    ------
    SklineError
        If `prepare_feedback` fails, or returns other rows, or a column of another kind.
    """
    contract = declared.contract
    inputs, labels, is_readable, faults = _read_rows(matured.rows, contract)
    frame = to_frame(contract.inputs, inputs)
    frame[contract.target.name] = to_storage(labels, contract.target.storage.replace("bool", "float64"))
    lineage = _lineage(matured, full_coverage)[is_readable].reset_index(drop=True)
    frame = _fill(pd.concat([frame, lineage], axis=1), declared)
    unparsed = pd.DataFrame({"row": [], "column": [], "value": [], "rule": []}).astype({"row": "int64"})
    rows = newest_rows(frame, contract)
    checked = validate(rows[[column.name for column in contract.columns]], unparsed, declared.labelled, contract)
    kept = ~rows.index.isin(checked.quarantined.index)
    accepted = pd.concat([checked.accepted, rows.loc[kept, list(LINEAGE)].reset_index(drop=True)], axis=1)
    counts = [*faults.most_common(MAX_FAULTS)]
    counts += [(f"{each['column']} {each['rule']}", each["rows"]) for each in checked.report["broken_rules"]]
    left_out = int((~is_readable).sum()) + int((~kept).sum())
    return SnapshotContent(
        accepted, left_out, len(frame) - len(rows), [f"{fault}: {counted(count, 'row')}" for fault, count in counts]
    )


def to_parquet_table(rows: pd.DataFrame) -> pa.Table:
    """Convert the rows of a snapshot; columns of the lineage have the same type in every snapshot."""
    table = pa.Table.from_pandas(rows.drop(columns=list(LINEAGE)), preserve_index=False)
    for name in LINEAGE:
        kind = _TYPES.get(name, pa.string())
        if kind == _UTC:
            values = pa.array(rows[name].dt.tz_localize(None), type=pa.timestamp("us")).cast(_UTC)
        else:
            values = pa.array(rows[name], from_pandas=True, type=kind)
        table = table.append_column(name, values)
    return table.replace_schema_metadata(None)


def write_snapshot(folder: Path, content: SnapshotContent, since: dt.datetime, until: dt.datetime) -> Snapshot:
    """Write the next snapshot, atomically. Call it while holding the lock of `skline retrain`.

    Git ignores it from the start: DVC may be unable to track it at once, and a `git add --all` may come between.
    """
    _ignore_snapshots(folder / ".gitignore")
    number = len(list_snapshots(folder)) + 1
    path = snapshot_path(folder, number, since, until)
    with atomic_write(path) as temporary:
        pq.write_table(to_parquet_table(content.rows), temporary, compression="zstd")
    return Snapshot(number, path, since, until)


def _ignore_snapshots(path: Path) -> None:
    """Add `IGNORED` to a .gitignore that lacks it."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if missing := [pattern for pattern in IGNORED if pattern not in lines]:
        write_text(path, "\n".join([*lines, *missing]) + "\n")


def clean_up(folder: Path) -> None:
    """Remove what a killed process has left, and let DVC keep the snapshots that it does not know yet.

    Raises
    ------
    SklineError
        If a snapshot that DVC keeps was changed: `dvc repro` would train on it, and record it as the valid one.
    """
    for temporary in folder.glob(".*.parquet.*"):
        temporary.unlink()
    for snapshot in list_snapshots(folder):
        record = snapshot.path.with_name(f"{snapshot.path.name}.dvc")
        if record.exists() and not record.stat().st_size:  # DVC was killed while it wrote the file
            record.unlink()
        if not record.exists():
            track_table(Path(), snapshot.path)
        elif _md5(snapshot.path) not in record.read_text(encoding="utf-8"):
            raise SklineError(
                f"{snapshot.path} was changed after it was made: {record.name} records another file. Restore it with "
                f"`dvc checkout --force {record}`"
            )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _read_rows(
    rows: pa.Table, contract: Contract
) -> tuple[list[Row], list[Scalar], "np.ndarray[Any, Any]", Counter[str]]:
    """Return inputs and labels of the rows that keep the contract, a mask of them, and counts of the others' faults."""
    parse, check = RowParser(contract).parse_row, label_validator(contract)
    inputs: list[Row] = []
    labels: list[Scalar] = []
    is_readable = np.zeros(rows.num_rows, dtype=bool)
    faults: Counter[str] = Counter()
    for index, (text, label) in enumerate(zip(rows["inputs"].to_pylist(), rows["label"].to_pylist(), strict=True)):
        try:
            read = parse(_known_inputs(text, contract)), check(orjson.loads(label))
        except ValidationError as error:
            faults.update({f"{each['loc'][0]} {each['msg']}" for each in error.errors() if each["loc"]})
        except (TypeError, ValueError) as error:
            faults[str(error)] += 1
        else:
            inputs.append(read[0])
            labels.append(read[1])
            is_readable[index] = True
    return inputs, labels, is_readable, faults


def _known_inputs(text: str, contract: Contract) -> bytes:
    """Return the logged inputs that the contract has, as JSON; those that may be missing and are not there are null.

    The contract may have had other inputs when the row was logged.
    """
    try:
        logged = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("inputs are no JSON") from None
    if not isinstance(logged, dict):
        raise TypeError("inputs are no JSON object")
    known = {each.name: logged.get(each.name) for each in contract.inputs if each.nullable or each.name in logged}
    return orjson.dumps(known)


def _lineage(matured: Matured, full_coverage: float) -> pd.DataFrame:
    """Return the columns of `LINEAGE`, one row for each of the matured rows."""
    rows, predictions = matured
    columns: dict[str, Any] = {name: rows[logged].to_pandas() for logged, name in _LOGGED.items()}
    is_labelled = pc.is_valid(predictions["label"]).to_numpy()
    reviews = predictions["review"].fill_null(0).to_numpy()
    coverage = is_labelled.mean() if len(is_labelled) else 0.0
    review = rows["review"].fill_null(0).to_numpy()
    selected = np.full(len(review), None, dtype=object)
    selected[(review > 0) & (review != REVIEW_SAMPLE)] = True
    selected[(review == REVIEW_SAMPLE) | (coverage >= full_coverage)] = False
    columns["log.review"] = review
    columns["log.selected"] = selected
    drawn = (reviews == REVIEW_SAMPLE) & is_labelled
    periods = inclusion_periods(drawn)
    shares = np.bincount(periods, weights=drawn) / np.maximum(np.bincount(periods), 1) if len(drawn) else drawn
    by_id = dict(zip(predictions["prediction_id"].to_pylist(), shares[periods].tolist(), strict=True))
    probabilities = np.array([by_id[each] for each in rows["prediction_id"].to_pylist()], dtype=np.float64)
    columns["log.inclusion_probability"] = np.where(review == REVIEW_SAMPLE, probabilities, np.nan)
    return pd.DataFrame({name: columns[name] for name in LINEAGE})


def _fill(frame: pd.DataFrame, declared: Declared) -> pd.DataFrame:
    """Add the contract's columns that the log lacks, and convert all of them to their storage."""
    contract = declared.contract
    for column in contract.columns:
        if column.name in frame:
            continue
        if column.role == "id" and column.kind in FILLED_KINDS:
            frame[column.name] = _as_kind(frame["log.prediction_id"], column.kind)
        elif column.role == "time" and column.kind in ("date", "datetime"):
            times = frame["log.event_time"].fillna(frame["log.predicted_at"]).dt.tz_localize(None)
            frame[column.name] = (times.dt.normalize() if column.kind == "date" else times).astype("datetime64[us]")
        elif column.role == "group" and column.kind in FILLED_KINDS:
            frame[column.name] = _as_kind(frame["log.entity"], column.kind)
        else:
            storage: Any = column.storage if column.storage not in ("int64", "bool") else "float64"
            frame[column.name] = pd.Series(None, index=frame.index, dtype=storage)
    if declared.prepare_feedback is not None:
        prepared = call_prepare(declared.prepare_feedback, frame, HOOK)
        lost = [name for name in (*(each.name for each in contract.columns), *LINEAGE) if name not in prepared]
        if len(prepared) != len(frame) or lost:
            raise SklineError(
                f"{HOOK} in src/model/source.py has to return all rows and columns that it gets, and lost "
                f"{', '.join(lost) or 'rows'}"
            )
        frame = prepared.reset_index(drop=True)
    columns = {column.name: conform(frame[column.name], column, HOOK) for column in contract.columns}
    return pd.DataFrame(columns | {name: frame[name] for name in LINEAGE})


def _as_kind(texts: pd.Series, kind: Kind) -> pd.Series:
    """Return ids of the log as a column of a kind in `FILLED_KINDS`; missing ones stay missing."""
    texts = texts.astype("str")
    if kind == "string":
        return texts
    return texts.map(number_of, na_action="ignore").astype("float64")
