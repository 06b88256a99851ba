"""Rows without a schema: JSON objects, and Python values of a database driver. Their types are settled over all rows.

A column gets the narrowest type that holds all of its values: whole numbers and fractions are numbers, and values of
kinds that have no type in common are text. Rows are kept on disk meanwhile, so that memory stays bounded.
"""

import datetime as dt
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from skline.sources.object_cells import EXACT_FLOAT, cell_text
from skline.sources.source import Snapshot, Stream

#: Rows of a batch, for the kinds that collect them one by one.
BATCH_ROWS = 1 << 16
#: Whole numbers up to here are exact as int64.
LARGEST_INT = 2**63 - 1
#: Kind of values → their type.
TYPES = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "large integer": pa.int64(),
    "number": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "datetime with zone": pa.timestamp("us", "UTC"),
    "bytes": pa.binary(),
    "text": pa.string(),
}
#: Python type → kind, of the other values.
KINDS: dict[type, str] = {bool: "boolean", float: "number", dt.date: "date", bytes: "bytes"}


@contextmanager
def settled_stream(
    batches: Iterable[Mapping[str, Sequence[Any]]], lineage: dict[str, object], snapshot: Snapshot | None = None
) -> Iterator[Stream]:
    """Read all batches, settle the types of their columns, and yield them as a stream.

    Parameters
    ----------
    batches : iterable of mapping from column name to values
        Each has equally long columns of Python values; None is missing. A column may be absent from a batch: it is
        missing there.
    lineage, snapshot : dict
        Of the stream; see `Stream`.
    """
    kinds: dict[str, set[str]] = {}
    files: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        for columns in batches:
            arrays = {name: _array(values, kinds.setdefault(name, set())) for name, values in columns.items()}
            batch = pa.record_batch(arrays)
            files.append(Path(folder) / f"{len(files)}.arrow")
            with pa.ipc.new_file(files[-1], batch.schema) as writer:
                writer.write_batch(batch)
        schema = pa.schema([(name, settled_type(each)) for name, each in kinds.items()])
        yield Stream(schema, _converted(files, schema), lineage, snapshot)


def merged_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return all columns of several tables; one whose values have no type in common is text."""
    types: dict[str, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        earlier = pa.schema([(field.name, types.get(field.name, field.type))])
        try:
            merged = pa.unify_schemas([earlier, pa.schema([(field.name, field.type)])], promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            merged = pa.schema([(field.name, pa.string())])
        types[field.name] = merged.field(0).type
    return pa.schema(list(types.items()))


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows with the columns of a merged schema; those that they lack are missing."""
    columns = [
        _convert(batch.column(field.name), field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)


def settled_type(kinds: set[str]) -> pa.DataType:
    """Return the type that holds values of all these kinds."""
    if len(kinds) == 1:
        return TYPES[next(iter(kinds))]
    if kinds == {"integer", "number"}:
        return TYPES["number"]
    return TYPES["large integer" if kinds == {"integer", "large integer"} else "text"]


def _array(values: Sequence[Any], kinds: set[str]) -> pa.Array:
    """Return the values of a column in one batch, in the narrowest type; adds their kinds to those of the column."""
    here = {kind for value in values if (kind := value_kind(value)) is not None}
    kinds |= here
    if not here:
        return pa.nulls(len(values))
    kind = settled_type(here)
    if kind == TYPES["text"]:
        values = [None if value is None else cell_text(value) for value in values]
    elif here == {"integer", "number"}:
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)


def value_kind(value: Any) -> str | None:
    """Return the kind of a value, a key of `TYPES`; None if it is missing."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        size = abs(value)
        return "integer" if size <= EXACT_FLOAT else "large integer" if size <= LARGEST_INT else "text"
    if isinstance(value, dt.datetime):
        return "datetime" if value.tzinfo is None else "datetime with zone"
    return next((kind for python_type, kind in KINDS.items() if isinstance(value, python_type)), "text")


def _converted(files: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the batches, each column in its settled type."""
    for file in files:
        with pa.OSFile(str(file)) as source, pa.ipc.open_file(source) as reader:
            yield fitted(reader.get_batch(0), schema)


def _convert(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Convert values to a type that holds them."""
    if values.type == kind:
        return values
    if kind == TYPES["text"] and values.type != pa.null():
        return pa.array([None if value is None else cell_text(value) for value in values.to_pylist()], kind)
    return values.cast(kind)
