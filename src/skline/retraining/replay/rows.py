"""The rows of a replay as requests, and their labels; they are converted block by block, when their time comes."""

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from skline.contract.frames import to_json_rows
from skline.contract.spec import Contract
from skline.retraining.replay.client import RowRequest
from skline.retraining.replay.workspace import times_us

#: The beginning of the request ids.
PREFIX = "replay-"
BLOCK_ROWS = 4_096


class ReplayedRows:
    """The rows in the order of time.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The columns of the contract, in the order of time.
    contract : Contract
    each_is_entity : bool
        Whether a row without a group is an entity of its own, as a canary needs; else it has none.

    Attributes
    ----------
    times : int64 array of shape (n_rows,)
        Microseconds since 1970.
    """

    def __init__(self, frame: pd.DataFrame, contract: Contract, *, each_is_entity: bool = False) -> None:
        self._frame, self._contract, self._each_is_entity = frame, contract, each_is_entity
        self.times: npt.NDArray[np.int64] = times_us(frame[contract.by_role("time").name])
        groups = contract.with_role("group")
        self._groups = frame[groups[0].name] if groups else None
        self._block = lru_cache(maxsize=4)(self._convert)

    def __len__(self) -> int:
        return len(self._frame)

    def row(self, number: int) -> RowRequest:
        """Return a row as a request."""
        inputs, _ = self._block(number // BLOCK_ROWS)
        body = inputs[number % BLOCK_ROWS]
        return RowRequest(number, int(self.times[number]), request_id(number), self._entity(number), body)

    def _entity(self, number: int) -> str | None:
        """Return the value of the group column, hashed."""
        group = None if self._groups is None else self._groups.iloc[number]
        if group is None or pd.isna(group):
            return request_id(number) if self._each_is_entity else None
        return hashlib.blake2b(str(group).encode(), digest_size=16).hexdigest()  # a header is ASCII

    def label(self, number: int) -> object:
        """Return the label of a row, as JSON has it."""
        _, labels = self._block(number // BLOCK_ROWS)
        return labels[number % BLOCK_ROWS]

    def _convert(self, block: int) -> tuple[list[bytes], list[object]]:
        frame = self._frame.iloc[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
        target = self._contract.target
        inputs = list(map(orjson.dumps, to_json_rows(self._contract.inputs, frame)))
        return inputs, [row[target.name] for row in to_json_rows((target,), frame)]


def request_id(number: int) -> str:
    """Return the request id of a row."""
    return f"{PREFIX}{number:08}"


def row_number(text: str | None) -> int | None:
    """Return the number of the row that a request id names; None if it is of another request."""
    if text is None or not text.startswith(PREFIX):
        return None
    return int(text.removeprefix(PREFIX))
