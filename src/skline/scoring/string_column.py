"""A dictionary-encoded column of strings: what is computed from a string is computed once per distinct string."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class StringColumn:
    """Strings of shape (n,), None where missing: `values[codes]`.

    Attributes
    ----------
    values : list of str or None
        The strings that occur; it may hold unused strings and duplicates.
    codes : integer array of shape (n,)
    """

    values: list[str | None]
    codes: npt.NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str | None]:
        return map(self.values.__getitem__, self.codes.tolist())

    def counts(self) -> list[int]:
        """Return in how many rows each of `values` stands."""
        counts: list[int] = np.bincount(self.codes, minlength=len(self.values)).tolist()
        return counts

    def __getitem__(self, rows: npt.NDArray[Any]) -> "StringColumn":
        """Select rows by a mask or by positions."""
        return StringColumn(self.values, self.codes[rows])


def map_distinct(strings: Sequence[Any] | StringColumn, function: Callable[[Iterable[Any]], Any]) -> Any:
    """Apply a function that maps strings to as many values, and return the values of all rows.

    Returns
    -------
    What the function returns. For a StringColumn an array of shape (n,); the function gets each distinct string.
    """
    if isinstance(strings, StringColumn):
        return np.asarray(function(strings.values))[strings.codes]
    return function(strings)
