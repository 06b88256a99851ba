"""Divide the validated rows into train, validation, test and live; no row and no group is in two parts.

`live` is kept out of training and evaluation, to be replayed as traffic. The table is read in batches of rows.
"""

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline import clock, paths
from skline.batches import count_rows, read_frames, table_writer
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.feedback import AFTER_FIT
from skline.partition import FITTED_PARTS, PARTS, identity_columns, is_part
from skline.row_weights import WEIGHT, Floats, recency_weights
from skline.settings import Weights
from skline.split_rule import Split
from skline.stages.newest_row import describe_future, describe_rule
from skline.stages.part_counts import PartCount, check_counts, describe_counts
from skline.stages.reassignment import print_reassignment
from skline.stages.table_partition import Frames, TablePartition
from skline.whole_table import shared_value

#: The position in `PARTS` of a row that is in no part.
DROPPED = -1


def split(
    rows: pd.DataFrame,
    contract: Contract,
    settings: Split,
    weights: Weights | None = None,
    window: dt.timedelta | None = None,
) -> dict[str, pd.DataFrame]:
    """Divide rows in memory at random, by group or by time; see `skline.partition`.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Validated rows with the contract's columns, and perhaps those of `skline.feedback.PASSED_ON`.
    contract : Contract
        Declares the target, and the group, time and id columns where there are any.
    settings : Split
    weights : Weights, optional
        `train.weights`: with them training and validation part have the column `WEIGHT`, of mean 1.
    window : timedelta, optional
        `source.window`, which has left out older rows: the message about an empty part names it.

    Returns
    -------
    dict from "train", "validation", "test" and "live" to DataFrame; every row is in one at most. In none are rows of
    the feedback after the fit whose id or group the pipeline was fitted on, and with such feedback the earlier rows of
    the validation part.

    Raises
    ------
    SklineError
        If a part is empty or lacks a class, or an id or a group is in two parts.
    """
    rows = rows.reset_index(drop=True)

    def frames(names: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        return iter([rows if names is None else rows[[*names]]])

    [parts] = Splitter(frames, contract, settings).batches()
    counts = {name: PartCount.of(part, contract) for name, part in parts.items()}
    check_counts(counts, contract, settings, lambda: describe_rule(frames, contract, settings, window))
    _check_owners(parts, contract)
    weighing = Weighing.of_training(weights, counts["train"], contract)
    return {name: _weighed(part, weighing if name in FITTED_PARTS else None) for name, part in parts.items()}


class Splitter:
    """Divides a table, batch by batch.

    Parameters
    ----------
    frames : function
        Returns the batches of the table; see `Frames`. They have the columns that `split` describes.
    contract : Contract
    settings : Split
    folder : Path, optional
        For temporary files, which the caller removes; without one the table is a single batch.
    """

    def __init__(self, frames: Frames, contract: Contract, settings: Split, folder: Path | None = None) -> None:
        self._frames = frames
        self._partition = TablePartition(frames, contract, settings, folder)
        names = [column.name for column in (*contract.with_role("id"), *contract.with_role("group"))]
        self._later = LaterRows(frames, contract, settings, names) if _has_later_rows(frames) else None

    def batches(self) -> Iterator[dict[str, pd.DataFrame]]:
        """Yield the parts of each batch, without the column `AFTER_FIT`."""
        first_row = 0
        for rows in self._frames(None):
            part = self._partition.assign(rows, first_row)
            if self._later is not None:
                part = self._later.reassign(rows, part)
            first_row += len(rows)
            yield {
                name: rows[part == index].drop(columns=AFTER_FIT, errors="ignore").reset_index(drop=True)
                for index, name in enumerate(PARTS)
            }


def _has_later_rows(frames: Frames) -> bool:
    """Whether the table has rows of the feedback after the fit."""
    return AFTER_FIT in next(frames(None)) and any(rows[AFTER_FIT].any() for rows in frames([AFTER_FIT]))


class LaterRows:
    """The rows of the feedback after the fit, which tune and test a pipeline that was fitted before them.

    The training part is that of the fit. The validation part are the later rows that are assigned to one of the fitted
    parts, without those whose id or group is in the training part. The stage ingest has appended the later rows to the
    table, after all others.
    """

    def __init__(self, frames: Frames, contract: Contract, settings: Split, names: list[str]) -> None:
        # Only cuts that move differ for the rows of the fit: copies of rows are counted from the first row on.
        moves = settings.kind == "time" and settings.moves
        self._fitted = TablePartition(frames, contract, settings, select=_is_earlier) if moves else None
        found = [rows.loc[_is_later(rows), names] for rows in frames([*names, AFTER_FIT])]
        self._keys = pd.concat(found, ignore_index=True)
        self._is_fitted = np.zeros(len(self._keys), dtype=np.bool_)
        self._n_before = 0

    def reassign(self, rows: pd.DataFrame, part: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the part of each row of the next batch; `part` is that without regard to the fit."""
        is_later = _is_later(rows)
        if self._fitted is not None:
            part[~is_later] = self._fitted.assign(rows[~is_later], 0)
        part[~is_later & is_part(part, "validation")] = DROPPED
        is_fitted = ~is_later & is_part(part, "train")
        for name in self._keys.columns:
            self._is_fitted |= self._keys[name].isin(rows.loc[is_fitted, name].dropna()).to_numpy()
        n_later = int(is_later.sum())
        is_known = self._is_fitted[self._n_before : self._n_before + n_later]
        self._n_before += n_later
        is_tuned = is_part(part[is_later], *FITTED_PARTS)
        validation = PARTS.index("validation")
        part[is_later] = np.where(is_tuned, np.where(is_known, DROPPED, validation), part[is_later])
        return part


def _is_later(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each row is of the feedback after the fit."""
    return rows[AFTER_FIT].to_numpy(dtype=np.bool_)


def _is_earlier(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the pipeline may have been fitted on each row."""
    return ~_is_later(rows)


class Weighing:
    """The weights of the rows of training and validation part, before they are scaled to a mean of 1.

    Parameters
    ----------
    settings : Weights
    newest : Timestamp or None
        The time of the newest row of the training part, from which ages are measured.
    contract : Contract

    Raises
    ------
    SklineError
        If ages count, and the contract has no column of role `time`.
    """

    def __init__(self, settings: Weights, newest: pd.Timestamp | None, contract: Contract) -> None:
        self._half_life, self._newest = settings.half_life, newest
        times = contract.with_role("time")
        if self._half_life is not None and not times:
            raise SklineError(
                "train.weights.half_life: the contract has no column of role time, so that the age of a row is not "
                "known; declare one in src/model/contract.py, or set half_life to null"
            )
        self._time = times[0].name if times else ""

    @classmethod
    def of_training(cls, settings: Weights | None, train: PartCount, contract: Contract) -> "Weighing | None":
        """Return the weighing that `train.weights` sets; None if it sets none."""
        return None if settings is None or settings == Weights() else cls(settings, train.last, contract)

    def weights(self, rows: pd.DataFrame) -> Floats:
        """Return the weights of rows; those of the stage ingest, `WEIGHT`, are multiplied by those of age."""
        weights: Floats = rows[WEIGHT].to_numpy() if WEIGHT in rows else np.ones(len(rows))
        if self._half_life is None:
            return weights
        newest = None if self._newest is None else self._newest.to_datetime64()
        return weights * recency_weights(rows[self._time].to_numpy(dtype="datetime64[us]"), self._half_life, newest)


def _weighed(rows: pd.DataFrame, weighing: Weighing | None, mean: float | None = None) -> pd.DataFrame:
    """Return rows with the column `WEIGHT`, scaled to a mean of 1; without weighing, without the column."""
    rest = rows.drop(columns=WEIGHT, errors="ignore")
    if weighing is None:
        return rest
    weights = weighing.weights(rows)
    if mean is None:
        mean = float(weights.mean()) if len(weights) else 1.0
    return rest.assign(**{WEIGHT: weights / mean})


def _check_owners(parts: Mapping[str, pd.DataFrame], contract: Contract) -> None:
    """Raise SklineError if an id or a group is in two parts."""
    for column in (*contract.with_role("id"), *contract.with_role("group")):
        owners = pd.concat(
            pd.DataFrame({"key": rows[column.name].dropna().unique(), "part": name}) for name, rows in parts.items()
        )
        shared = owners[owners["key"].duplicated(keep=False)]
        if len(shared):
            key = shared["key"].iloc[[0]].tolist()[0]  # as a Python object: 7, not np.int64(7)
            raise _shared_key_error(column, key, shared.loc[shared["key"] == key, "part"].tolist())


def _shared_key_error(column: Column, key: Any, parts: list[str]) -> SklineError:
    """Return the error about an id or a group in several parts."""
    remedy = "set split.kind: group in params.yaml" if column.role == "group" else "an id must be unique"
    return SklineError(
        f"split: {column.name} {key!r} is in {' and '.join(parts)}; no {column.role} may be in two parts: {remedy}, or "
        f"remove {column.role}=True from the column in src/model/contract.py"
    )


def write_parts(
    table: Path,
    folder: Path,
    contract: Contract,
    settings: Split,
    weights: Weights,
    window: dt.timedelta | None = None,
) -> dict[str, PartCount]:
    """Divide a table on disk into files, as `split` does.

    Parameters
    ----------
    table : Path
        Validated rows: values of columns that must be unique are.
    folder : Path
        Gets `train.parquet`, `validation.parquet`, `test.parquet` and `live.parquet`.

    Returns
    -------
    What was counted of each part.
    """
    files, frames = {name: folder / f"{name}.parquet" for name in PARTS}, partial(read_frames, table)
    is_one_batch = len(next(read_frames(table))) == count_rows(table)
    counts = {name: PartCount() for name in PARTS}
    with ExitStack() as stack, tempfile.TemporaryDirectory(dir=folder, prefix=".temporary.") as temporary:
        writers = {name: stack.enter_context(table_writer(path)) for name, path in files.items()}
        for parts in Splitter(frames, contract, settings, None if is_one_batch else Path(temporary)).batches():
            for name, rows in parts.items():
                plain = _weighed(rows, None)
                counts[name].add(plain, contract)
                writers[name].write(rows if name in FITTED_PARTS else plain)
    check_counts(counts, contract, settings, lambda: describe_rule(frames, contract, settings, window))
    _check_owners_on_disk(files, contract, settings)
    weighing = Weighing.of_training(weights, counts["train"], contract)
    for name in FITTED_PARTS if weighing is not None or _has_weights(files["train"]) else ():
        counts[name] = _weigh_file(files[name], weighing, contract)
    return counts


def _check_owners_on_disk(files: Mapping[str, Path], contract: Contract, settings: Split) -> None:
    """Raise SklineError if an id or a group is in two parts; one that is unique, or assigns the rows, cannot be."""
    assigning = identity_columns(contract, settings)
    for column in (*contract.with_role("id"), *contract.with_role("group")):
        if column.unique or assigning == (column,):
            continue
        if found := shared_value(list(files.values()), column.name):
            raise _shared_key_error(column, found[0], [list(files)[number] for number in found[1]])


def _has_weights(path: Path) -> bool:
    """Whether a part has the weights of the stage ingest."""
    return WEIGHT in next(read_frames(path))


def _weigh_file(path: Path, weighing: Weighing | None, contract: Contract) -> PartCount:
    """Write a part again, with its final weights or without any."""
    total, n_rows = 0.0, 0
    if weighing is not None:
        for rows in read_frames(path):
            total += float(weighing.weights(rows).sum())
            n_rows += len(rows)
    count = PartCount()
    with table_writer(path) as writer:
        for rows in read_frames(path):
            weighed = _weighed(rows, weighing, total / n_rows if n_rows else 1.0)
            count.add(weighed, contract)
            writer.write(weighed)
    return count


def list_parts(rows: Mapping[str, int]) -> str:
    """Return the rows of each part in one line; of the live part, which most projects lack, only if it has rows."""
    total = sum(rows.values())
    shown = {name: count for name, count in rows.items() if name != "live" or count}
    line = ", ".join(f"{name} {count:,} ({count / total:.1%})" for name, count in shown.items())
    return f"{line}; live: kept for `skline replay`, neither trained nor tested on" if "live" in shown else line


def main() -> None:
    """Read data/validated; write data/split and reports/split.json."""
    from skline.files import atomic_folder, write_json
    from skline.settings import Settings
    from skline.stages.progress import show_elapsed

    settings, contract = Settings.load(), Contract.read(paths.CONTRACT)
    frames, weights = partial(read_frames, paths.VALIDATED), settings.train.weights
    if note := describe_future(frames, contract, settings.split, clock.now()):
        print(f"note: {note}")
    with atomic_folder(paths.SPLIT) as folder, show_elapsed("split"):
        counts = write_parts(paths.VALIDATED, folder, contract, settings.split, weights, settings.source.window)
    write_json(paths.SPLIT_REPORT, describe_counts(counts, contract))
    print(list_parts({name: count.n_rows for name, count in counts.items()}))
    print_reassignment(frames, contract, settings.split, paths.SPLIT.parent)
