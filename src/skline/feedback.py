"""Feedback: the labelled predictions that `skline retrain` took from the log, as snapshots next to the source.

A snapshot is an immutable Parquet file, `0001-20260301T000000Z-20260401T000000Z.parquet`: its number, and the period in
which its labels matured. It has the contract's columns, and for each row the columns of `LINEAGE`. The stage ingest
appends the snapshots to the table: an event is in it once, with its newest label.
"""

import datetime as dt
import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.entrypoint import one_line
from skline.errors import SklineError
from skline.row_weights import WEIGHT, selection_weights

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
ENTITY = "log.entity"
PREDICTION_ID, LABELLED_AT, PREDICTED_AT = "log.prediction_id", "log.labelled_at", "log.predicted_at"
EVENT = [ENTITY, "log.event_time"]
SELECTED, INCLUSION = "log.selected", "log.inclusion_probability"
#: Kinds of ids and groups that are filled from the log: its own ids are texts, and numbers are hashes of them.
FILLED_KINDS = ("string", "integer", "number")
#: Bits of a number that stands for a text: every integer of so many is exact in float64.
NUMBER_BITS = 53
#: Column of the table: whether a row is from a snapshot after `source.fitted_snapshots`, and tunes and tests only.
AFTER_FIT = "skline.after_fit"
SNAPSHOT = "skline.snapshot"
#: Columns that the stages ingest, validate and split pass on beyond the contract's, if the settings need them.
PASSED_ON = (WEIGHT, AFTER_FIT)
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


class Feedback(NamedTuple):
    """The rows of the snapshots, and how many rows `train.weights.selection` left out; None without this setting."""

    rows: pd.DataFrame
    not_drawn: int | None


def snapshot_path(folder: Path, number: int, since: dt.datetime, until: dt.datetime) -> Path:
    """Return the path of a snapshot."""
    return folder / f"{number:04}-{since:{_TIME}}-{until:{_TIME}}.parquet"


def number_of(text: str) -> int:
    """Return the number that stands for an id of the log in a column of numbers: the first bits of the text's hash."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - NUMBER_BITS)


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


def read_feedback(
    folder: Path, contract: Contract, *, drawn_only: bool = False, fitted_snapshots: int | None = None
) -> Feedback:
    """Read all snapshots, and keep the newest row of each event.

    Parameters
    ----------
    folder : Path
    contract : Contract
    drawn_only : bool
        `train.weights.selection`: leave out the rows whose label a decision selected, and weigh the others.
    fitted_snapshots : int, optional
        `source.fitted_snapshots`: a later snapshot supersedes no row of the first ones. It changes nothing as long as
        there are no later ones.

    Returns
    -------
    Feedback
        Its rows have the contract's columns and those of `LINEAGE`, in the order of the snapshots; there are none
        without snapshots. A column that the contract has and a snapshot lacks is missing in its rows. With `drawn_only`
        there is the column `WEIGHT`, the number of predictions that a row stands for, and with later snapshots the
        column `AFTER_FIT`.

    Raises
    ------
    SklineError
        If a snapshot is missing or cannot be read, or `drawn_only` leaves out all rows.
    """
    snapshots = list_snapshots(folder)
    if not snapshots:
        empty = pd.DataFrame(columns=[*(column.name for column in contract.columns), *LINEAGE])
        return Feedback(empty, 0 if drawn_only else None)
    rows = _concatenate_snapshots([_read_snapshot(each.path, contract) for each in snapshots], contract)
    not_drawn = None
    if drawn_only:
        total, rows = len(rows), weigh_drawn_rows(rows)
        not_drawn = total - len(rows)
    if fitted_snapshots is None or fitted_snapshots >= len(snapshots):
        return Feedback(newest_rows(rows.drop(columns=SNAPSHOT), contract), not_drawn)
    is_after = rows.pop(SNAPSHOT) > fitted_snapshots
    fitted, later = (newest_rows(rows[each].reset_index(drop=True), contract) for each in (~is_after, is_after))
    later = later[~_shares_key(later, fitted, contract)]
    both = [fitted.assign(**{AFTER_FIT: False}), later.assign(**{AFTER_FIT: True})]
    return Feedback(pd.concat(both, ignore_index=True), not_drawn)


def weigh_drawn_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the feedback that stand for a known number of predictions, which becomes the column `WEIGHT`.

    Raises
    ------
    SklineError
        If there are none.
    """
    weights = selection_weights(rows[SELECTED], rows[INCLUSION])
    if not weights.any():
        raise SklineError(
            f"train.weights.selection: none of {len(rows):,} rows of the feedback was drawn at random for review, so "
            "that they say nothing about all predictions; set SKLINE_REVIEW__SAMPLE for the service, or remove "
            "train.weights.selection from params.yaml"
        )
    return rows.assign(**{WEIGHT: weights})[weights > 0].reset_index(drop=True)


def _read_snapshot(path: Path, contract: Contract) -> pd.DataFrame:
    """Read the contract's columns of a snapshot, and those of `LINEAGE`."""
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise SklineError(f"{path} cannot be read ({one_line(error)}); {RESTORE}") from error
    if lost := sorted(LINEAGE.keys() - set(frame.columns)):
        raise SklineError(f"{path} lacks {', '.join(lost)}, which every snapshot has; {RESTORE}")
    columns = {column.name: _stored(frame, column) for column in contract.columns}
    return pd.DataFrame(columns | {name: frame[name] for name in LINEAGE})


def _concatenate_snapshots(frames: list[pd.DataFrame], contract: Contract) -> pd.DataFrame:
    """Concatenate snapshots, and add the number of each row's snapshot."""
    columns = {
        column.name: _concatenated([frame[column.name] for frame in frames], column) for column in contract.columns
    }
    lineage = {name: pd.concat([frame[name] for frame in frames], ignore_index=True) for name in LINEAGE}
    numbers = np.repeat(np.arange(1, len(frames) + 1), [len(frame) for frame in frames])
    return pd.DataFrame(columns | lineage | {SNAPSHOT: numbers})


def _shares_key(rows: pd.DataFrame, others: pd.DataFrame, contract: Contract) -> pd.Series:
    """Whether another table has a row of the same prediction, event or id."""
    shared = pd.Series(False, index=rows.index)
    for key in _keys(contract):
        known = pd.MultiIndex.from_frame(others[key].dropna())
        shared |= pd.MultiIndex.from_frame(rows[key]).isin(known) & rows[key].notna().all(axis=1)
    return shared


def _keys(contract: Contract) -> list[list[str]]:
    """Return the columns, each or each set of which is unique in the feedback."""
    return [[PREDICTION_ID], EVENT, *([column.name] for column in contract.with_role("id"))]


def newest_rows(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return one row for each prediction, each event (entity and time) and each id: that with the newest label.

    Of several predictions with labels that arrived together, the last one is kept. Rows without an entity or an event
    time are events of their own.
    """
    order = rows.sort_values([LABELLED_AT, PREDICTED_AT, PREDICTION_ID], kind="stable").index
    superseded = pd.Series(False, index=rows.index)
    for key in _keys(contract):
        keyed = rows.loc[order, key].dropna()
        superseded[keyed.index[keyed.duplicated(keep="last")]] = True
    return rows[~superseded].reset_index(drop=True)


class Addition:
    """The feedback that is appended to a table, which is read in batches: `see` all of them first, then `take` each.

    Parameters
    ----------
    feedback : DataFrame
        The rows that `read_feedback` returns. A row whose id the table has is left out: the table's own row counts. The
        table gets the columns of `PASSED_ON` that it has; a row of the source has the weight 1.
    contract : Contract
    window : timedelta or None
        Rows that are older than this, before the newest of the feedback, are left out; None: all are taken. A row's
        time is that of the contract's column of role `time`; without one, that of its prediction, and all rows of the
        source are taken. Rows after the fit do not move the window, and are all taken.

    Attributes
    ----------
    is_empty : bool
        Whether there is no feedback: the table stays as it is.
    """

    def __init__(self, feedback: pd.DataFrame, contract: Contract, window: dt.timedelta | None) -> None:
        self._feedback, self._contract, self._window = feedback, contract, window
        self._in_table = pd.Series(False, index=feedback.index)
        self._n_old = 0
        self.is_empty = feedback.empty

    def see(self, table: pd.DataFrame) -> None:
        """Note the ids of a batch of the table."""
        for column in self._contract.with_role("id"):
            self._in_table |= self._feedback[column.name].isin(table[column.name].dropna())

    def take(self, table: pd.DataFrame, unparsed: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows of a batch of the table that are in the window, and their cells that could not be parsed.

        Parameters
        ----------
        table : DataFrame of shape (n_rows, n_columns)
            The contract's columns.
        unparsed : DataFrame
            Cells that could not be parsed: row (position in `table`), column, value, rule.
        """
        if self.is_empty:
            return table, unparsed
        times, start = self._contract.with_role("time"), self._start()
        if times and start is not None:
            is_recent = ~(table[times[0].name] < start)
            self._n_old += int((~is_recent).sum())
            table, unparsed = select_rows(table, unparsed, is_recent)
        own = {name: value for name, value in ((WEIGHT, 1.0), (AFTER_FIT, False)) if name in self._feedback}
        return table.assign(**own), unparsed

    def rows(self) -> pd.DataFrame:
        """Return the rows of the feedback that are appended after the last batch.

        Raises
        ------
        SklineError
            If a column is of another type than in the contract.
        """
        names = [column.name for column in self._contract.columns]
        names += [name for name in PASSED_ON if name in self._feedback]
        added = self._added()[names].reset_index(drop=True)
        for column in self._contract.columns:
            _require_common_type({str(added[column.name].dtype), column.storage}, column)
        return added

    def lineage(self) -> dict[str, object]:
        """Return what the lineage records, after the last batch; nothing without feedback."""
        if self.is_empty:
            return {}
        n_in_table, n_added = int(self._in_table.sum()), len(self._added())
        return {
            "rows": n_added,
            "also_in_the_source": n_in_table,
            "older_than_the_window": len(self._feedback) - n_in_table - n_added + self._n_old,
        }

    def _added(self) -> pd.DataFrame:
        """Return the rows that the table lacks, within the window."""
        added, start = self._feedback[~self._in_table], self._start()
        return added if start is None else added[~(self._moments(added) < start) | ~_is_fitted(added)]

    def _start(self) -> Any:
        """Return the time from which on rows are taken; None if all are."""
        added = self._feedback[~self._in_table]
        is_fitted = _is_fitted(added)
        if self._window is None or not is_fitted.any():
            return None
        return self._moments(added)[is_fitted].max() - self._window

    def _moments(self, rows: pd.DataFrame) -> pd.Series:
        """Return the times of rows of the feedback."""
        times = self._contract.with_role("time")
        moments: pd.Series = rows[times[0].name] if times else rows[PREDICTED_AT].dt.tz_localize(None)
        return moments


def _is_fitted(rows: pd.DataFrame) -> pd.Series:
    """Whether a row of the feedback is of the snapshots that the pipeline is fitted on."""
    return ~rows[AFTER_FIT] if AFTER_FIT in rows else pd.Series(True, index=rows.index)


def select_rows(table: pd.DataFrame, unparsed: pd.DataFrame, is_taken: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the source that are taken, and their cells that could not be parsed, at their new positions.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
    unparsed : DataFrame
        Cells: row (position in `table`), column, value, rule.
    is_taken : bool Series of shape (n_rows,)
    """
    taken = is_taken.to_numpy(dtype=bool)
    positions = np.cumsum(taken) - 1
    rows = unparsed["row"].to_numpy(dtype=np.int64)
    cells = unparsed[taken[rows]].assign(row=positions[rows[taken[rows]]]).reset_index(drop=True)
    return table[taken], cells


def _stored(frame: pd.DataFrame, column: Column) -> pd.Series:
    """Return a column of a snapshot; all cells are missing if the snapshot lacks it."""
    storage: Any = column.storage if column.storage not in ("int64", "bool") else "float64"
    stored: pd.Series = frame.get(column.name, pd.Series(None, index=frame.index, dtype=storage))
    return stored


def _concatenated(parts: list[pd.Series], column: Column) -> pd.Series:
    """Concatenate values of a column; integers and booleans are float64 if they are so in one part."""
    dtypes = {str(part.dtype) for part in parts}
    _require_common_type(dtypes, column)
    if len(dtypes) > 1:
        parts = [part.astype("float64") for part in parts]
    return pd.concat(parts, ignore_index=True)


def _require_common_type(dtypes: set[str], column: Column) -> None:
    """Raise SklineError if values of a column cannot be in one table."""
    if len(dtypes) > 1 and not dtypes <= {"int64", "bool", "float64"}:
        raise SklineError(
            f"the column {column.name!r} of the feedback is {' and '.join(sorted(dtypes))}: its type in "
            "src/model/contract.py has changed; delete all snapshots, `skline retrain` makes new ones from the log"
        )
