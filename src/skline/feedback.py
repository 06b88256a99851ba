"""Feedback: the labelled predictions that `skline retrain` took from the log, as snapshots beside the source.

A snapshot is an immutable Parquet file, `0001-20260301T000000Z-20260401T000000Z.parquet`: its number, and the period in
which its labels matured. It has the contract's columns, and for each row the columns of `LINEAGE`. The stage ingest
appends the snapshots to the table: an event is in it once, with its newest label.
"""

import datetime as dt
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.entrypoint import one_line
from skline.errors import SklineError

#: Column of a snapshot → what it says about the row. The prefix keeps them apart from the contract's columns.
LINEAGE = {
    "log.prediction_id": "id of the prediction",
    "log.predicted_at": "when it was made, UTC",
    "log.model_version": "the version that made it",
    "log.artifact_digest": "the digest of that version's artifact",
    "log.entity": "the keyed hash of its entity",
    "log.event_time": "the time of its event, UTC",
    "log.labelled_at": "when its valid label arrived, UTC",
    "log.label_revision": "how many labels it had by then: 1 is the first, more correct it",
    "log.review": "why people reviewed it: 0 not at all, 1 for its score, 2 drawn at random",
    "log.selected": "whether a model's decision selected it to have a label; null if unknown",
    "log.inclusion_probability": "of a row drawn at random: the share of predictions that were drawn and have a label",
}
PREDICTION_ID, LABELLED_AT, PREDICTED_AT = "log.prediction_id", "log.labelled_at", "log.predicted_at"
EVENT = ["log.entity", "log.event_time"]
RESTORE = (
    "restore the snapshots with git and `dvc checkout`, or delete all snapshots: `skline retrain` makes a new one from "
    "the log"
)
_NAME = re.compile(r"(\d{4,})-(\d{8}T\d{6}Z)-(\d{8}T\d{6}Z)\.parquet")
_TIME = "%Y%m%dT%H%M%SZ"


class Snapshot(NamedTuple):
    """A snapshot's number and file, and the period in which its labels matured: since < time ≤ until, UTC."""

    number: int
    path: Path
    since: dt.datetime
    until: dt.datetime


class Combined(NamedTuple):
    """The table with the feedback, the cells that could not be parsed, and what the lineage records."""

    table: pd.DataFrame
    unparsed: pd.DataFrame
    lineage: dict[str, object]


def snapshot_path(folder: Path, number: int, since: dt.datetime, until: dt.datetime) -> Path:
    """Return the path of a snapshot."""
    return folder / f"{number:04}-{since:{_TIME}}-{until:{_TIME}}.parquet"


def list_snapshots(folder: Path) -> list[Snapshot]:
    """Return the snapshots of a folder, in order.

    Raises
    ------
    SklineError
        If a file has another name, one of the numbers from 1 on is missing, or DVC has not fetched a snapshot.
    """
    tables = sorted(folder.glob("[!.]*.parquet"))
    absent = sorted({path.with_suffix("") for path in folder.glob("[!.]*.parquet.dvc")} - set(tables))
    if absent:
        raise SklineError(f"{absent[0]} is not here, and {absent[0].name}.dvc lists it; run `dvc pull`")
    snapshots = []
    for number, path in enumerate(tables, 1):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) != number:
            raise SklineError(f"{path} is not snapshot {number:04} of the feedback; {RESTORE}")
        since, until = (dt.datetime.strptime(text, _TIME).replace(tzinfo=dt.UTC) for text in match.groups()[1:])
        snapshots.append(Snapshot(number, path, since, until))
    return snapshots


def read_feedback(folder: Path, contract: Contract) -> pd.DataFrame:
    """Read all snapshots, and keep the newest row of each event.

    Returns
    -------
    DataFrame
        The contract's columns and those of `LINEAGE`, in the order of the snapshots; no rows without snapshots. A
        column that the contract has and a snapshot lacks is missing in its rows.

    Raises
    ------
    SklineError
        If a snapshot is missing, or cannot be read.
    """
    frames = []
    for snapshot in list_snapshots(folder):
        try:
            frame = pd.read_parquet(snapshot.path)
        except (OSError, ValueError) as error:  # pyarrow's errors are among these
            raise SklineError(f"{snapshot.path} cannot be read ({one_line(error)}); {RESTORE}") from error
        if lost := sorted(LINEAGE.keys() - set(frame.columns)):
            raise SklineError(f"{snapshot.path} lacks {', '.join(lost)}, which every snapshot has; {RESTORE}")
        columns = {column.name: _stored(frame, column) for column in contract.columns}
        frames.append(pd.DataFrame(columns | {name: frame[name] for name in LINEAGE}))
    if not frames:
        return pd.DataFrame(columns=[*(column.name for column in contract.columns), *LINEAGE])
    columns = {
        column.name: _concatenated([frame[column.name] for frame in frames], column) for column in contract.columns
    }
    lineage = {name: pd.concat([frame[name] for frame in frames], ignore_index=True) for name in LINEAGE}
    return newest_rows(pd.DataFrame(columns | lineage), contract)


def newest_rows(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return one row for each prediction, each event (entity and time) and each id: that with the newest label.

    Of several predictions with labels that arrived together, the last one is kept. Rows without an entity or an event
    time are events of their own.
    """
    order = rows.sort_values([LABELLED_AT, PREDICTED_AT, PREDICTION_ID], kind="stable").index
    superseded = pd.Series(False, index=rows.index)
    for key in ([PREDICTION_ID], EVENT, *([column.name] for column in contract.with_role("id"))):
        keyed = rows.loc[order, key].dropna()
        superseded[keyed.index[keyed.duplicated(keep="last")]] = True
    return rows[~superseded].reset_index(drop=True)


def combine(
    table: pd.DataFrame, unparsed: pd.DataFrame, feedback: pd.DataFrame, contract: Contract, window: dt.timedelta | None
) -> Combined:
    """Append the feedback to the source's table, and take the rows of the window.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The contract's columns.
    unparsed : DataFrame
        Cells that could not be parsed: row (position in `table`), column, value, rule.
    feedback : DataFrame
        As `read_feedback` returns it. A row whose id the table has is left out: the table's own row counts.
    contract : Contract
    window : timedelta or None
        Rows that are older than this, before the newest of the feedback, are left out; None: all are taken. A row's
        time is that of the contract's column of role `time`; without one, that of its prediction, and all rows of the
        source are taken.

    Returns
    -------
    Combined
        Without feedback, table and cells as they are, and an empty lineage.
    """
    if feedback.empty:
        return Combined(table, unparsed, {})
    in_table = pd.Series(False, index=feedback.index)
    for column in contract.with_role("id"):
        in_table |= feedback[column.name].isin(table[column.name].dropna())
    added = feedback[~in_table]
    recent, recent_added = pd.Series(True, index=table.index), pd.Series(True, index=added.index)
    if window is not None:
        times = contract.with_role("time")
        moments = added[times[0].name] if times else added[PREDICTED_AT].dt.tz_localize(None)
        start = moments.max() - window
        recent_added = ~(moments < start)
        recent = ~(table[times[0].name] < start) if times else recent
    rows = {
        column.name: _concatenated([table.loc[recent, column.name], added.loc[recent_added, column.name]], column)
        for column in contract.columns
    }
    positions = pd.Series(np.cumsum(recent.to_numpy()) - 1, index=table.index)
    cells = unparsed[recent.to_numpy()[unparsed["row"].to_numpy(dtype=np.int64)]]
    lineage: dict[str, object] = {
        "rows": int(recent_added.sum()),
        "also_in_the_source": int(in_table.sum()),
        "older_than_the_window": int((~recent_added).sum() + (~recent).sum()),
    }
    return Combined(
        pd.DataFrame(rows), cells.assign(row=positions.loc[cells["row"]].to_numpy()).reset_index(drop=True), lineage
    )


def _stored(frame: pd.DataFrame, column: Column) -> pd.Series:
    """Return a column of a snapshot; all cells are missing if the snapshot lacks it."""
    storage: Any = column.storage if column.storage not in ("int64", "bool") else "float64"
    stored: pd.Series = frame.get(column.name, pd.Series(None, index=frame.index, dtype=storage))
    return stored


def _concatenated(parts: list[pd.Series], column: Column) -> pd.Series:
    """Concatenate values of a column; integers and booleans are float64 if they are so in one part."""
    dtypes = {str(part.dtype) for part in parts}
    if len(dtypes) > 1:
        if not dtypes <= {"int64", "bool", "float64"}:
            raise SklineError(
                f"the column {column.name!r} of the feedback is {' and '.join(sorted(dtypes))}: its type in "
                "src/model/contract.py has changed; delete all snapshots, `skline retrain` makes new ones from the log"
            )
        parts = [part.astype("float64") for part in parts]
    return pd.concat(parts, ignore_index=True)
