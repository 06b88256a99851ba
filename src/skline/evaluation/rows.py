"""The rows of a part, which are read in batches, so that a part may be larger than the memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.batches import count_rows, read_frames
from skline.evaluation.frame_scorers import ScoreFrame
from skline.scoring.scores import Scores

#: Returns the named columns of all rows, in batches; there is at least one, and each has a RangeIndex.
Frames = Callable[[list[str]], Iterator[pd.DataFrame]]
Positions = npt.NDArray[np.int64]


class Rows:
    """Rows in batches.

    Attributes
    ----------
    columns : list of str
    n_rows : int
    """

    def __init__(self, frames: Frames, columns: list[str], n_rows: int) -> None:
        self._frames, self.columns, self.n_rows = frames, columns, n_rows

    @classmethod
    def of(cls, rows: "pd.DataFrame | Rows") -> "Rows":
        """Return the rows of a DataFrame, which is one batch; Rows are returned as they are."""
        if isinstance(rows, Rows):
            return rows
        frame = rows.reset_index(drop=True)
        return cls(lambda names: iter([frame[names]]), list(frame.columns), len(frame))

    @classmethod
    def stored(cls, path: Path) -> Self:
        """Return the rows of a Parquet file that an earlier stage wrote; SklineError if it is missing."""
        columns = list(next(read_frames(path)).columns)
        return cls(lambda names: read_frames(path, names), columns, count_rows(path))

    def frames(self, names: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Return the named columns of all rows, in batches."""
        return self._frames(list(names))

    def read(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the named columns of all rows."""
        frames = list(self.frames(names))
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def take(self, positions: Positions, names: Sequence[str]) -> pd.DataFrame:
        """Return the named columns of the rows at these positions, in the order of the positions."""
        order = np.argsort(positions, kind="stable")
        ascending, first_row, parts = positions[order], 0, []
        for frame in self.frames(names):
            start, stop = np.searchsorted(ascending, [first_row, first_row + len(frame)])
            parts.append(frame.iloc[ascending[start:stop] - first_row])
            first_row += len(frame)
        ranks = np.empty_like(order)
        ranks[order] = np.arange(len(order))
        return pd.concat(parts, ignore_index=True).iloc[ranks].reset_index(drop=True)

    def score(self, models: Sequence[ScoreFrame], names: Sequence[str]) -> list[Scores]:
        """Return each model's scores of all rows, computed batch by batch from the named columns."""
        batches = [[score(frame) for score in models] for frame in self.frames(names)]
        return [join_scores(scores) for scores in zip(*batches, strict=True)]


def join_scores(batches: Sequence[Scores]) -> Scores:
    """Return the scores of the rows of all batches."""
    if not batches:
        return Scores(np.empty(0), None)
    if len(batches) == 1:
        return batches[0]
    probabilities = [each.probabilities for each in batches if each.probabilities is not None]
    return Scores(
        np.concatenate([each.predictions for each in batches]), np.concatenate(probabilities) if probabilities else None
    )
