"""Find equal values among all rows of a table on disk, in bounded memory.

Values are compared by 64-bit hashes. These are written to files by their first bits, so that equal ones are in the same
file and each file fits into memory. A caller compares the few rows that are found by their values.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.batches import count_rows, read_frames

#: Pairs that are in memory at once. A bucket of hashes has about half as many, unless a value is very frequent.
MAX_PAIRS = 1 << 20
#: A hash or a row, by which pairs are divided, and the number that belongs to it.
PAIR = np.dtype([("key", np.uint64), ("number", np.int64)])

Positions = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
#: Of each batch: the positions of rows in the table, ascending, and the hashes of their values.
Keys = Iterable[tuple[Positions, Hashes]]


def hash_values(values: pd.Series) -> Hashes:
    """Return a 64-bit hash of each value, which must not be missing; 0.0 and -0.0 are equal."""
    return np.asarray(pd.util.hash_pandas_object(values, index=False, categorize=False), dtype=np.uint64)


def repeated_rows(keys: Keys, n_rows: int, folder: Path) -> Positions:
    """Return the positions of the rows whose hash another row has, ascending.

    Parameters
    ----------
    keys : iterable of (positions, hashes)
        The rows that are compared.
    n_rows : int
        Of the table.
    folder : Path
        For temporary files.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".hashes.") as temporary:
        buckets = _Buckets.of_hashes(Path(temporary), n_rows)
        for positions, hashes in keys:
            buckets.add(hashes, positions)
        found = [pairs["number"][_is_repeated(pairs["key"])] for pairs in buckets]
    return np.sort(np.concatenate([np.empty(0, np.int64), *found]))


class EarlierCopies:
    """How many rows with the same hash are before each row of a table.

    Parameters
    ----------
    keys : iterable of (positions, hashes)
        The rows that are compared; of other rows the number is 0.
    n_rows : int
        Of the table.
    folder : Path
        For temporary files, which the caller removes.
    """

    def __init__(self, keys: Keys, n_rows: int, folder: Path) -> None:
        self._counts = _Buckets(Path(tempfile.mkdtemp(dir=folder, prefix=".copies.")), MAX_PAIRS)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".hashes.") as temporary:
            buckets = _Buckets.of_hashes(Path(temporary), n_rows)
            for positions, hashes in keys:
                buckets.add(hashes, positions)
            for path in buckets.paths():
                for rows, counts in _count_earlier(path):
                    self._counts.add(rows.astype(np.uint64), counts)

    def of(self, first_row: int, n_rows: int) -> npt.NDArray[np.uint64]:
        """Return the numbers of consecutive rows."""
        counts = np.zeros(n_rows, dtype=np.uint64)
        for pairs in self._counts.between(first_row, first_row + n_rows):
            counts[pairs["key"].astype(np.int64) - first_row] = pairs["number"]
        return counts


def shared_value(files: Sequence[Path], column: str) -> tuple[Any, list[int]] | None:
    """Return a value that several files have in a column, and the positions of these files; None if there is none.

    Of several values it is the one that comes first in the first file that shares one. Temporary files are written next
    to that file.
    """
    sizes = [count_rows(path) for path in files]
    starts = np.cumsum([0, *sizes])
    with tempfile.TemporaryDirectory(dir=files[0].parent, prefix=".hashes.") as temporary:
        buckets = _Buckets.of_hashes(Path(temporary), sum(sizes))
        first_row = 0
        for frame in itertools.chain.from_iterable(read_frames(path, [column]) for path in files):
            values = frame[column].dropna().drop_duplicates()
            buckets.add(hash_values(values), first_row + values.index.to_numpy(np.int64))
            first_row += len(frame)
        firsts = [first for pairs in buckets if (first := _first_shared(pairs, starts)) is not None]
    if not firsts:
        return None
    owner = int(np.searchsorted(starts, min(firsts), side="right")) - 1
    value = _value_at(files[owner], column, min(firsts) - int(starts[owner]))
    owners = [n for n, path in enumerate(files) if any((f[column] == value).any() for f in read_frames(path, [column]))]
    return (value, owners) if len(owners) > 1 else None


class _Buckets:
    """Pairs of a key and a number, in a file for each range of keys.

    Parameters
    ----------
    folder : Path
        For the files, and nothing else.
    width : int
        Keys of a range.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self._folder, self._width = folder, width

    @classmethod
    def of_hashes(cls, folder: Path, n_rows: int) -> "_Buckets":
        """Return buckets for the hashes of a table."""
        return cls(folder, (2**64 - 1) // (2 * n_rows // MAX_PAIRS + 1))

    def add(self, keys: npt.NDArray[np.uint64], numbers: Positions) -> None:
        """Append pairs."""
        buckets = (keys // np.uint64(self._width)).astype(np.uint16)  # NumPy sorts 16 bits five times as fast
        order = np.argsort(buckets, kind="stable")
        pairs = np.empty(len(keys), PAIR)
        pairs["key"], pairs["number"] = keys[order], numbers[order]
        present, starts = np.unique(buckets[order], return_index=True)
        for bucket, content in zip(present, np.split(pairs, starts[1:]), strict=False):  # no pairs: one empty part
            with (self._folder / str(bucket)).open("ab") as file:
                content.tofile(file)

    def paths(self) -> list[Path]:
        """Return the files, in any order."""
        return list(self._folder.iterdir())

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the pairs of each bucket, in the order in which they were added."""
        return (np.fromfile(path, PAIR) for path in self.paths())

    def between(self, start: int, stop: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the pairs whose key is in a range, bucket by bucket."""
        for bucket in range(start // self._width, -(-stop // self._width)):
            path = self._folder / str(bucket)
            if path.exists():
                pairs = np.fromfile(path, PAIR)
                yield pairs[(pairs["key"] >= start) & (pairs["key"] < stop)]


def _is_repeated(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Whether each hash occurs more than once; most often none does."""
    ordered = np.sort(hashes)
    return np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])


def _count_earlier(path: Path) -> Iterator[tuple[Positions, Positions]]:
    """Yield the rows of a bucket whose hash earlier rows have, and how many these are.

    The rows of a table may all be equal, and then in one bucket: it is read in parts.
    """
    n_pairs, totals = path.stat().st_size // PAIR.itemsize, pd.Series(dtype=np.int64)
    for start in range(0, n_pairs, MAX_PAIRS):
        pairs = np.fromfile(path, PAIR, MAX_PAIRS, offset=start * PAIR.itemsize)
        keys = pd.Series(pairs["key"])
        counts = np.asarray(keys.groupby(keys, sort=False).cumcount(), dtype=np.int64)
        if start:
            counts = counts + totals.reindex(keys, fill_value=0).to_numpy(np.int64)
        yield pairs["number"][counts > 0], counts[counts > 0]
        if start + MAX_PAIRS < n_pairs:
            totals = totals.add(keys.value_counts(), fill_value=0).astype(np.int64)


def _first_shared(pairs: npt.NDArray[Any], starts: Positions) -> int | None:
    """Return the first row whose hash is in several files; `starts` are their first rows."""
    order = np.argsort(pairs["key"], kind="stable")
    keys, rows = pairs["key"][order], pairs["number"][order]
    owners = np.searchsorted(starts, rows, side="right")
    shared = keys[1:][(keys[1:] == keys[:-1]) & (owners[1:] != owners[:-1])]
    return int(rows[np.searchsorted(keys, shared)].min()) if len(shared) else None


def _value_at(path: Path, column: str, row: int) -> Any:
    """Return the value of a row, as a Python object."""
    for frame in read_frames(path, [column]):
        if row < len(frame):
            return frame[column].iloc[[row]].tolist()[0]
        row -= len(frame)
    raise IndexError(row)
