"""The contract judged on columns: what `/predict` says to each row, without looking at rows one by one.

A cell is read as at ingest (`skline.contract.cells`). Then NumPy finds the values that break a rule, and what is
said about them comes from the very type that `/predict` checks a row with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from skline.contract.cells import RULES, read_cells
from skline.contract.requests import FROM_TEXT, field_type
from skline.contract.spec import Column, Contract
from skline.scoring.source import Array
from skline.scoring.texts import Texts

Mask = npt.NDArray[np.bool_]
#: Comparisons that hold where a bound is broken; none holds for NaN and NaT.
BROKEN: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": np.less,
    "exclusive_minimum": np.less_equal,
    "maximum": np.greater,
    "exclusive_maximum": np.greater_equal,
}
#: The moments that Python and JSON can say.
FIRST, LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
#: Distinct strings whose judgement is remembered.
REMEMBERED = 100_000


@dataclass(frozen=True)
class Judged:
    """What became of n rows.

    Attributes
    ----------
    columns : mapping from name to array or Texts of shape (accepted,)
        The inputs of the accepted rows in their storage dtypes.
    accepted : int64 array
        Positions of the rows that keep the contract, rising.
    rejected : dict from position to reasons
        All reasons, in the order of the columns.
    """

    columns: Mapping[str, Array | Texts]
    accepted: npt.NDArray[np.int64]
    rejected: dict[int, list[str]]


class Judge:
    """Judges tables by a contract."""

    def __init__(self, contract: Contract) -> None:
        self._columns = [(column, _judge_of(column)) for column in contract.inputs]

    def judge(self, batch: pa.RecordBatch) -> Judged:
        """Judge rows of a table that has every input as a column."""
        rejected: dict[int, list[str]] = {}
        read: dict[str, tuple[Array | Texts, str]] = {}
        for column, judge in self._columns:
            values, faults = judge(batch.column(column.name))
            read[column.name] = values, column.storage
            for position, reason in faults:
                rejected.setdefault(position, []).append(f"{column.name}: {reason}")
        accepted = np.arange(batch.num_rows)
        if rejected:
            accepted = np.delete(accepted, list(rejected))
        columns = {
            name: _stored(values[accepted] if rejected else values, storage) for name, (values, storage) in read.items()
        }
        return Judged(columns, accepted, dict(sorted(rejected.items())))


#: Reads cells; returns the values, and the faulty positions with what is wrong there.
Reads = Callable[[pa.Array], tuple[Array | Texts, list[tuple[int, str]]]]


def _judge_of(column: Column) -> Reads:
    """Return the judge of one column."""
    return TextJudge(column) if column.kind == "string" else ValueJudge(column)


class Words:
    """What `/predict` says to a value of a column."""

    def __init__(self, column: Column) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(
            field_type(column), config=ConfigDict(strict=True, allow_inf_nan=False)
        )

    def about(self, value: Any) -> str | None:
        """Return what is wrong with a value, None if nothing is."""
        try:
            self._adapter.validate_json(to_json(value, inf_nan_mode="constants"))
        except ValidationError as error:
            return "; ".join(fault["msg"] for fault in error.errors(include_url=False, include_context=False))
        return None


class TextJudge:
    """Judges strings, each distinct one once."""

    def __init__(self, column: Column) -> None:
        self._words = Words(column)
        self._known: dict[str | None, str | None] = {}

    def __call__(self, cells: pa.Array) -> tuple[Texts, list[tuple[int, str]]]:
        """Read cells; see `Reads`."""
        bad = None
        if not _is_encoded_text(cells.type):
            cells, bad = read_cells(cells, "string")
            cells = cells.dictionary_encode()
        values: list[str | None] = [*cells.dictionary.to_pylist(), None]
        codes = cells.indices.cast(pa.int32())
        if codes.null_count:
            codes = codes.fill_null(len(values) - 1)
        texts = Texts(values, codes.to_numpy())
        said = [self._about(value) for value in values[:-1]]
        said.append(self._about(None) if cells.indices.null_count else None)
        if bad is None or not bad.any():
            bad = None
            if not any(said):
                return texts, []
        faulty = np.array([reason is not None for reason in said])[texts.codes]
        faults = []
        for position in np.flatnonzero(faulty if bad is None else faulty | bad).tolist():
            unreadable = bad is not None and bad[position]
            faults.append((position, RULES["string"] if unreadable else str(said[texts.codes[position]])))
        return texts, faults

    def _about(self, value: str | None) -> str | None:
        """Ask once for each string."""
        # One look: another thread may clear what is remembered between two.
        reason = self._known.get(value, "")
        if reason == "":
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[value] = reason = self._words.about(value)
        return reason


def _is_encoded_text(kind: pa.DataType) -> bool:
    """Whether it is a dictionary of strings."""
    return bool(
        pa.types.is_dictionary(kind)
        and (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))
    )


class ValueJudge:
    """Judges numbers, booleans, dates and datetimes."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._words = Words(column)
        is_time = column.kind in FROM_TEXT

        def read(value: Any) -> Any:
            return np.datetime64(FROM_TEXT[column.kind](value), "us") if is_time else value

        bounds = {name: getattr(column, name) for name in BROKEN}
        self._bounds = [(BROKEN[name], read(bound)) for name, bound in bounds.items() if bound is not None]
        self._choices = None if column.choices is None else np.array([read(choice) for choice in column.choices])

    def __call__(self, cells: pa.Array) -> tuple[Array, list[tuple[int, str]]]:
        """Read cells; see `Reads`."""
        kind = self._column.kind
        typed, bad = read_cells(cells, kind, self._column.written)
        missing: Mask | None = typed.is_null().to_numpy(zero_copy_only=False) if typed.null_count else None
        values = _to_numpy(typed, kind)
        if kind in FROM_TEXT:
            bad = bad | (values < FIRST) | (values > LAST)
        refused = self._refused(values, missing)
        if missing is not None and not self._column.nullable:
            refused |= missing
        refused &= ~bad
        faults = [(position, RULES[kind]) for position in np.flatnonzero(bad).tolist()]
        for position in np.flatnonzero(refused).tolist():
            reason = self._words.about(typed[position].as_py())
            if reason is None:
                raise AssertionError(f"column {self._column.name!r}: a value is refused that /predict accepts")
            faults.append((position, reason))
        return values, faults

    def _refused(self, values: Array, missing: Mask | None) -> Mask:
        """Where a value that is not missing breaks a rule."""
        refused = np.isinf(values) if self._column.kind == "number" else np.zeros(len(values), dtype=np.bool_)
        for broken, bound in self._bounds:
            refused |= broken(values, bound)
        if self._choices is not None:
            others = ~np.isin(values, self._choices)
            refused |= others if missing is None else others & ~missing
        return refused


def _to_numpy(typed: pa.Array, kind: str) -> Array:
    """Arrow → NumPy: integers and booleans with missing cells are float64 with NaN, moments datetime64[us]."""
    if kind in FROM_TEXT:
        typed = typed.cast(pa.timestamp("us"))
    elif typed.null_count:
        typed = typed.cast(pa.float64())
    values: Array = typed.to_numpy(zero_copy_only=False)
    return values


def _stored(values: Array | Texts, storage: str) -> Array | Texts:
    """Bring values that keep the contract into the dtype that the pipeline was fitted on."""
    return values if isinstance(values, Texts) else values.astype(storage, copy=False)
