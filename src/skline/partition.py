"""Assign rows to the parts train, validation, test and live, by a keyed hash of each row or by its time.

A row's part depends on the row and the rule alone, not on its position or on the other rows: it stays the same if the
table is reordered, grows or shrinks. The hash is defined here, in integer arithmetic, and not taken from a library that
may change it: `split_rule.HASH_VERSION` is its version. It is not cryptographic.

Rows are hashed by their id; by their group if the split is by group, or if there is no id; else by their content, which
is all columns of the contract. Equal rows are interchangeable: the k-th of them has a part of its own, so that a table
with few distinct rows is divided by the shares as well, and each part holds the same rows in whatever order they come.
"""

import hashlib
import re
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from skline.contract.spec import Column, Contract
from skline.split_rule import Split

PARTS = ("train", "validation", "test", "live")
#: The parts that a model is fitted on: calibration, threshold and interval are set on the validation part.
FITTED_PARTS = ("train", "validation")

Digests = npt.NDArray[np.uint64]

#: Constants of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
GAMMA, FIRST_FACTOR, SECOND_FACTOR = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
#: Kinds of cells: a date must not have the digest of the number of its microseconds.
MOMENT_TAG = np.uint64(1) << np.uint64(63)
#: Text that is hashed as the integer that it is: an id is the same row's, whether the table stores text or numbers.
INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")


def assign_parts(
    rows: pd.DataFrame, contract: Contract, split: Split, copies: npt.NDArray[np.uint64] | None = None
) -> npt.NDArray[np.int64]:
    """Return the part of each row, as its position in `PARTS`.

    Parameters
    ----------
    rows : DataFrame of shape (n, n_columns)
        All rows of the table, with the values of the contract's columns; integers and booleans may be float64. Cuts
        that move are those of a table whose newest row is among these.
    contract : Contract
    split : Split
    copies : uint64 array of shape (n,), optional
        If `rows` are some rows of a table only: of each row that is hashed by its content, how many equal rows are
        before it in the table. See `content_digests`.

    Returns
    -------
    int64 array of shape (n,). By time, a row at a cut date belongs to the later part. Otherwise each share is that of
    the rows (or groups) that is expected; the actual share is binomially distributed around it.
    """
    if split.kind == "time":
        times = rows[contract.by_role("time").name]
        return _by_time(times, resolve_cuts(times, split))
    positions = _positions(rows, contract, split, copies)
    bounds = np.cumsum([1 - split.validation - split.test - split.live, split.validation, split.test])
    return np.searchsorted(np.round(bounds, 12), positions, side="right").astype(np.int64)


def resolve_cuts(times: pd.Series, split: Split) -> Split:
    """Return the rule of a split by time with cuts that are dates; `times` are those of the rows of the table."""
    return with_cuts(newest_time(times, split), split)


def newest_time(times: pd.Series, split: Split) -> pd.Timestamp | None:
    """Return the time of the newest row that is not of the live part; None if there is none."""
    live = None if split.live_from is None else pd.Timestamp(split.live_from)
    newest = (times if live is None else times[times < live]).max()
    return None if pd.isna(newest) else newest


def with_cuts(newest: pd.Timestamp | None, split: Split) -> Split:
    """Return the rule of a split by time with cuts that are dates; `newest` is the `newest_time` of the table."""
    if not split.moves:
        return split
    if newest is None:  # without a row before it, every row is of the live part, wherever the other cuts are
        newest = pd.Timestamp(split.live_from or 0)
    return split.resolved(newest.to_pydatetime())


def content_digests(rows: pd.DataFrame, contract: Contract, split: Split) -> tuple[npt.NDArray[np.intp], Digests]:
    """Return the positions of the rows that are hashed by their content, and their digests, which equal rows share."""
    without_key = np.flatnonzero(~_has_key(rows, _key_column(contract, split)))
    return without_key, row_digests(rows.iloc[without_key], contract.columns)


def identity_columns(contract: Contract, split: Split) -> tuple[Column, ...]:
    """Return the columns that decide the part of a row: time, id, group or, without them, all columns."""
    if split.kind == "time":
        return (contract.by_role("time"),)
    key = _key_column(contract, split)
    return contract.columns if key is None or key.nullable else (key,)


def is_part(parts: npt.NDArray[np.int64], *names: str) -> npt.NDArray[np.bool_]:
    """Return whether each row is in one of the named parts."""
    return np.isin(parts, [PARTS.index(name) for name in names])


def row_digests(rows: pd.DataFrame, columns: Sequence[Column]) -> Digests:
    """Return a 64-bit digest of each row's values in some columns, whatever the order of the columns.

    Equal values have equal digests in every storage: 12, 12.0, true as 1 and the text "12"; a category and its text; a
    date and its midnight in any unit. A missing value is as if the row lacked the column.
    """
    total = np.zeros(len(rows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            digests, present = _cell_digests(rows[column.name])
            total += np.where(present, _mix(digests ^ np.uint64(_text_digest(column.name))), np.uint64(0))
    return total


def _by_time(times: pd.Series, split: Split) -> npt.NDArray[np.int64]:
    """Return the part of each row by the cut dates; a cut date belongs to the later part."""
    cuts = [split.validation_from, split.test_from, split.live_from]
    stamps = np.array([pd.Timestamp(cut) for cut in cuts if cut is not None], dtype="datetime64[us]")
    return np.searchsorted(stamps, times.to_numpy(dtype="datetime64[us]"), side="right").astype(np.int64)


def _key_column(contract: Contract, split: Split) -> Column | None:
    """Return the id or group column that rows are hashed by; None if they are hashed by their content."""
    if split.kind == "group":
        return contract.by_role("group")
    return next(iter((*contract.with_role("id"), *contract.with_role("group"))), None)


def _has_key(rows: pd.DataFrame, key: Column | None) -> npt.NDArray[np.bool_]:
    """Whether each row is hashed by its id or group, and not by its content."""
    return np.zeros(len(rows), dtype=bool) if key is None else rows[key.name].notna().to_numpy()


def _positions(
    rows: pd.DataFrame, contract: Contract, split: Split, copies: npt.NDArray[np.uint64] | None
) -> npt.NDArray[np.float64]:
    """Return the position of each row between 0 and 1, uniformly distributed over the keys of rows."""
    key = _key_column(contract, split)
    has_key = _has_key(rows, key)
    digests = np.zeros(len(rows), dtype=np.uint64)
    counts = np.zeros(len(rows), dtype=np.uint64)
    if key is not None:
        digests[has_key] = row_digests(rows.loc[has_key], (key,))
    if not has_key.all():
        _, content = content_digests(rows, contract, split)
        digests[~has_key] = content
        if copies is None:
            counts[~has_key] = pd.Series(content).groupby(content).cumcount().to_numpy(dtype=np.uint64)
        else:
            counts[~has_key] = copies[~has_key]
    with np.errstate(over="ignore"):
        seed = _mix(np.array([split.seed % 2**64], dtype=np.uint64))
        hashed = _mix(_mix(digests ^ seed) + counts * GAMMA)
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _cell_digests(values: pd.Series) -> tuple[Digests, npt.NDArray[np.bool_]]:
    """Return a digest of each cell, and whether it has a value."""
    present = values.notna().to_numpy()
    if values.dtype.kind == "M":
        ticks = values.to_numpy(dtype="datetime64[us]").view(np.uint64)
        return ticks ^ MOMENT_TAG, present
    if values.dtype.kind in "biuf":
        return (values.to_numpy(dtype=np.float64) + 0.0).view(np.uint64), present  # -0.0 becomes 0.0
    codes, distinct = pd.factorize(values)
    digests = np.array([*(_text_digest(str(text)) for text in distinct), 0], dtype=np.uint64)
    return digests[codes], present  # the code of a missing cell is -1


def _text_digest(text: str) -> int:
    """Return the digest of a text: that of the number if it is written as Python writes an integer."""
    content = struct.pack("<d", float(text)) if INTEGER.fullmatch(text) else _blake2b(text)
    return int.from_bytes(content, "little")


def _blake2b(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _mix(values: Digests) -> Digests:
    """Return the SplitMix64 hash of each number: every output bit depends on every input bit."""
    mixed = values + GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST_FACTOR
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND_FACTOR
    return mixed ^ (mixed >> np.uint64(31))
