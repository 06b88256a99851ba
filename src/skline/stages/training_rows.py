"""The rows of the training part that a pipeline is fitted on: all, or as many as `train.rows` and `train.memory` allow.

The rows are chosen by a hash of their values, not by their position: the same rows, in whatever order they come.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil

from skline.artifact.training_sample import TrainingSample
from skline.batches import count_rows, read_frames
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.files import read_table
from skline.partition import row_digests
from skline.row_weights import WEIGHT, Floats, read_weights
from skline.settings.training import Take, Train

#: How many times the memory of its rows a fit needs at its peak: the rows, the features of the pipeline's steps as
#: float64, the estimator's own copy, and the parts of a row that text makes larger than its cells.
MEMORY_FACTOR = 5
#: Files in which Linux says how much memory a container may use.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
#: Makes the hash of a row depend on `train.seed`.
SEED = "skline.seed"
SEED_COLUMN = Column(name=SEED, kind="integer")


class TrainingRows(NamedTuple):
    """The rows to fit on, their weights if rows have them, and the sample that they are; None if they are all."""

    rows: pd.DataFrame
    weights: Floats | None
    sample: TrainingSample | None


def read_training_rows(
    path: Path, columns: Sequence[str], contract: Contract, settings: Train, memory: int | None = None
) -> TrainingRows:
    """Read the rows of the training part to fit on.

    Parameters
    ----------
    path : Path
        The training part.
    columns : sequence of str
        The columns that the fit needs.
    contract : Contract
    settings : Train
    memory : int, optional
        Bytes that the fit may use, if `train.memory` does not say; by default half of what this machine has.

    Raises
    ------
    SklineError
        If the newest rows are to be taken, and the contract has no column of role `time`.
    """
    total = count_rows(path)
    n_rows, reason = _row_limit(path, columns, settings, memory)
    if n_rows >= total:
        return TrainingRows(read_table(path, list(columns)), read_weights(path), None)
    is_taken = choose_rows(path, n_rows, contract, settings.take, settings.seed)
    found, first_row = [], 0
    for rows in read_frames(path, columns):
        found.append(rows[is_taken[first_row : first_row + len(rows)]])
        first_row += len(rows)
    weights = read_weights(path)
    sample = TrainingSample(rows=n_rows, total=total, take=settings.take, reason=reason)
    return TrainingRows(pd.concat(found, ignore_index=True), None if weights is None else weights[is_taken], sample)


def _row_limit(path: Path, columns: Sequence[str], settings: Train, memory: int | None) -> tuple[int, str]:
    """Return how many rows may be taken, and which setting says so."""
    available = settings.memory_bytes or memory or usable_memory() // 2
    first = next(read_frames(path, columns))
    row_bytes = max(float(first.memory_usage(deep=True, index=False).sum()) / max(len(first), 1), 1.0)
    fitting = max(int(available / (MEMORY_FACTOR * row_bytes)), 1)
    if settings.rows is not None and settings.rows <= fitting:
        return settings.rows, f"train.rows is {settings.rows:,}"
    origin = "train.memory" if settings.memory_bytes else "half of this machine's memory (train.memory)"
    return (
        fitting,
        f"{origin} is {available / 1e9:.2g} GB, and a row takes about {MEMORY_FACTOR * row_bytes:,.0f} bytes",
    )


def choose_rows(path: Path, n_rows: int, contract: Contract, take: Take, seed: int) -> npt.NDArray[np.bool_]:
    """Return whether each row of the training part is taken: `n_rows` of them are."""
    times = contract.with_role("time")
    if take == "newest" and not times:
        raise SklineError(
            "train.take is newest, and no column of src/model/contract.py has role='time'; give it to one, or set "
            "train.take to random"
        )
    ranks, classes = [], []
    for rows in read_frames(path):
        plain = rows.drop(columns=WEIGHT, errors="ignore")
        if take == "newest":
            moments = plain[times[0].name].to_numpy(dtype="datetime64[us]").astype(np.int64)
            ranks.append(-moments.astype(np.float64))  # a missing time is the smallest number, and so the oldest
        else:
            digests = row_digests(plain.assign(**{SEED: seed}), (*contract.columns, SEED_COLUMN))
            ranks.append((digests >> np.uint64(11)).astype(np.float64))
        if take == "stratified":
            classes.append(plain[contract.target.name])
    rank = np.concatenate(ranks)
    if take == "stratified" and contract.classes is not None:
        grouped = pd.Series(rank).groupby(pd.concat(classes, ignore_index=True))
        rank = ((grouped.rank(method="first") - 0.5) / grouped.transform("size")).to_numpy()
    is_taken = np.zeros(len(rank), dtype=np.bool_)
    is_taken[np.argsort(rank, kind="stable")[:n_rows]] = True
    return is_taken


def usable_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that it is limited to."""
    total: int = psutil.virtual_memory().total
    limits = [path.read_text().strip() for path in CGROUP_LIMITS if path.is_file()]
    return min([total, *(int(text) for text in limits if text.isdigit())])
