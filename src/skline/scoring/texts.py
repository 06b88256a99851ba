"""A column of strings, each distinct one kept once: what is done to strings is done once for each of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Texts:
    """Strings of shape (n,), None where missing: `values[codes]`.

    Attributes
    ----------
    values : list of str or None
        The strings that occur; more may stand here, and one may stand here twice.
    codes : integer array of shape (n,)
    """

    values: list[str | None]
    codes: npt.NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str | None]:
        return map(self.values.__getitem__, self.codes.tolist())

    def __getitem__(self, rows: npt.NDArray[Any]) -> "Texts":
        """Some of the rows, by a mask or by positions."""
        return Texts(self.values, self.codes[rows])


def each(texts: Sequence[Any] | Texts, function: Callable[[Iterable[Any]], Any]) -> Any:
    """Apply a function that turns strings into as many values, and return those of all rows.

    Returns
    -------
    What the function returns; for Texts an array of shape (n,), the function having seen each distinct string.
    """
    if isinstance(texts, Texts):
        return np.asarray(function(texts.values))[texts.codes]
    return function(texts)
