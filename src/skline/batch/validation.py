"""Validate tables by columns, with the same messages that `/predict` returns for a row.

Cells are read as at ingest (`skline.contract.cells`). NumPy then finds the values that break a rule, and the messages
about them come from the very type with which `/predict` validates a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from skline.contract.cells import read_cells
from skline.contract.request_validation import FROM_TEXT, STRICT, lenient_type
from skline.contract.spec import CellFormat, Column, Contract
from skline.contract.values import expected
from skline.scoring.code_writer import Array
from skline.scoring.string_column import StringColumn

Mask = npt.NDArray[np.bool_]
#: Comparisons that are true where a bound is broken; all are false for NaN and NaT.
BOUND_BROKEN: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": np.less,
    "exclusive_minimum": np.less_equal,
    "maximum": np.greater,
    "exclusive_maximum": np.greater_equal,
}
#: Distinct strings of a column whose messages are cached.
MAX_CACHED_STRINGS = 100_000


@dataclass(frozen=True)
class ValidatedBatch:
    """The result of validating n rows.

    Attributes
    ----------
    columns : mapping from name to array or StringColumn of shape (accepted,)
        The inputs of the accepted rows in their storage dtypes.
    accepted : int64 array
        Positions of the rows that satisfy the contract, ascending.
    rejected : dict from position to list of str
        All reasons why a row is rejected, in the order of the columns.
    """

    columns: Mapping[str, Array | StringColumn]
    accepted: npt.NDArray[np.int64]
    rejected: dict[int, list[str]]


class BatchValidator:
    """Validates tables against a contract."""

    def __init__(self, contract: Contract) -> None:
        self._validators = [(c, _column_validator(c, contract.cell_format(c))) for c in contract.inputs]

    def validate(self, batch: pa.RecordBatch) -> ValidatedBatch:
        """Validate the rows of a table that has every input as a column."""
        rejected: dict[int, list[str]] = {}
        inputs: dict[str, tuple[Array | StringColumn, str]] = {}
        for column, validate_column in self._validators:
            values, errors = validate_column(batch.column(column.name))
            inputs[column.name] = values, column.storage
            for position, message in errors:
                rejected.setdefault(position, []).append(f"{column.name}: {message}")
        accepted = np.arange(batch.num_rows)
        if rejected:
            accepted = np.delete(accepted, list(rejected))
        columns = {
            name: _to_storage(values[accepted] if rejected else values, storage)
            for name, (values, storage) in inputs.items()
        }
        return ValidatedBatch(columns, accepted, dict(sorted(rejected.items())))


#: Reads the cells of a column; returns the values, and pairs of position and message of the invalid ones.
ColumnValidator = Callable[[pa.Array], tuple[Array | StringColumn, list[tuple[int, str]]]]


def _column_validator(column: Column, cells: CellFormat) -> ColumnValidator:
    return StringValidator(column, cells) if column.kind == "string" else ValueValidator(column, cells)


class MessageLookup:
    """The messages that `/predict` returns for the values of a column."""

    def __init__(self, column: Column, cells: CellFormat) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(lenient_type(column, cells), config=STRICT)

    def read(self, value: Any) -> tuple[Any, str | None]:
        """Return a value as it is read, and the message if it is invalid."""
        try:
            return self._adapter.validate_python(value), None
        except ValidationError as error:
            return value, "; ".join(detail["msg"] for detail in error.errors(include_url=False, include_context=False))


class StringValidator:
    """Validates a column of strings, each distinct string once."""

    def __init__(self, column: Column, cells: CellFormat) -> None:
        self._messages = MessageLookup(column, cells)
        self._cache: dict[str | None, tuple[str | None, str | None]] = {}

    def __call__(self, cells: pa.Array) -> tuple[StringColumn, list[tuple[int, str]]]:
        """Validate cells; see `ColumnValidator`."""
        if not _is_encoded_string(cells.type):
            cells, unreadable = read_cells(cells, CellFormat("string"))
            if unreadable.any():
                return self._without_unreadable(cells, unreadable)
            cells = cells.dictionary_encode()
        pairs = [self._read(value) for value in (*cells.dictionary.to_pylist(), None)]
        codes = cells.indices.cast(pa.int32())
        if codes.null_count:
            codes = codes.fill_null(len(pairs) - 1)
        strings = StringColumn([value for value, _ in pairs], codes.to_numpy())
        messages = [message for _, message in pairs]
        if not any(messages[:-1]) and not (messages[-1] and cells.indices.null_count):
            return strings, []
        invalid = np.array([message is not None for message in messages])[codes.to_numpy()]
        errors = [(position, str(messages[codes[position].as_py()])) for position in np.flatnonzero(invalid).tolist()]
        return strings, errors

    def _without_unreadable(self, cells: pa.Array, unreadable: Mask) -> tuple[StringColumn, list[tuple[int, str]]]:
        """Validate cells of which some are no strings."""
        strings, errors = self(cells)
        others = [(position, message) for position, message in errors if not unreadable[position]]
        _, message = self._messages.read(0)
        return strings, sorted(others + [(position, str(message)) for position in np.flatnonzero(unreadable).tolist()])

    def _read(self, value: str | None) -> tuple[str | None, str | None]:
        """Return the cached reading of a string, and the message if it is invalid."""
        # A single lookup: between a test and a lookup another thread may clear the cache.
        pair = self._cache.get(value)
        if pair is None:
            if len(self._cache) >= MAX_CACHED_STRINGS:
                self._cache.clear()
            self._cache[value] = pair = self._messages.read(value)
        return pair


def _is_encoded_string(data_type: pa.DataType) -> bool:
    """Return whether the type is a dictionary of strings."""
    return bool(
        pa.types.is_dictionary(data_type)
        and (pa.types.is_string(data_type.value_type) or pa.types.is_large_string(data_type.value_type))
    )


class ValueValidator:
    """Validates a column of numbers, booleans, dates or datetimes."""

    def __init__(self, column: Column, cells: CellFormat) -> None:
        self._column, self._cells = column, cells
        self._messages = MessageLookup(column, cells)
        is_temporal = column.kind in FROM_TEXT

        def to_comparable(value: Any) -> Any:
            return np.datetime64(FROM_TEXT[column.kind](value), "us") if is_temporal else value

        bounds = {name: getattr(column, name) for name in BOUND_BROKEN}
        self._bounds = [(BOUND_BROKEN[name], to_comparable(b)) for name, b in bounds.items() if b is not None]
        self._reason = f"Input should be {expected(cells)}"
        choices = column.choices
        self._choices = None if choices is None else np.array([to_comparable(choice) for choice in choices])

    def __call__(self, cells: pa.Array) -> tuple[Array, list[tuple[int, str]]]:
        """Validate cells; see `ColumnValidator`."""
        kind = self._column.kind
        typed, unreadable = read_cells(cells, self._cells)
        missing: Mask | None = typed.is_null().to_numpy(zero_copy_only=False) if typed.null_count else None
        values = _to_numpy(typed, kind)
        invalid = self._breaks_rule(values, missing)
        if missing is not None and not self._column.nullable:
            invalid |= missing
        invalid &= ~unreadable
        errors = [(position, self._reason) for position in np.flatnonzero(unreadable).tolist()]
        for position in np.flatnonzero(invalid).tolist():
            _, message = self._messages.read(typed[position].as_py())
            if message is None:
                raise AssertionError(f"column {self._column.name!r}: a value is rejected that /predict accepts")
            errors.append((position, message))
        return values, errors

    def _breaks_rule(self, values: Array, missing: Mask | None) -> Mask:
        """Return where a value that is not missing breaks a rule."""
        invalid = np.zeros(len(values), dtype=np.bool_)
        for is_broken, bound in self._bounds:
            invalid |= is_broken(values, bound)
        if self._choices is not None:
            is_other = ~np.isin(values, self._choices)
            invalid |= is_other if missing is None else is_other & ~missing
        return invalid


def _to_numpy(typed: pa.Array, kind: str) -> Array:
    """Convert Arrow to NumPy: integers and booleans with missing cells become float64, datetimes datetime64[us]."""
    if kind in FROM_TEXT:
        typed = typed.cast(pa.timestamp("us"))
    elif typed.null_count:
        typed = typed.cast(pa.float64())
    values: Array = typed.to_numpy(zero_copy_only=False)
    return values


def _to_storage(values: Array | StringColumn, storage: str) -> Array | StringColumn:
    """Convert valid values to the dtype on which the pipeline was fitted."""
    return values if isinstance(values, StringColumn) else values.astype(storage, copy=False)
