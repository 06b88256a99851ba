"""Read an Arrow IPC stream or a Parquet file within bounds, before and after it is decompressed.

Nothing is decompressed or decoded before the sizes that the body declares are within the bounds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline.serving.errors import RequestError
from skline.serving.tables.media_types import ARROW, PARQUET
from skline.serving.tables.message_sizes import decompressed_size
from skline.serving.tables.parquet_sizes import parquet_sizes

#: Kinds of values that a column of the contract can hold.
SUPPORTED: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_date, pa.types.is_timestamp,
)  # fmt: skip
NAMES = {ARROW: "an Arrow IPC stream", PARQUET: "Parquet"}
#: Beginning of Arrow's file format, which is another one.
ARROW_FILE = b"ARROW1"


class TableLimits(NamedTuple):
    """The most rows of a table, and its most bytes once it is decompressed and decoded."""

    rows: int
    decoded_bytes: int


def read_table(body: bytes, media_type: bytes, limits: TableLimits) -> pa.RecordBatch:
    """Read a table; strings may be dictionaries.

    Raises
    ------
    RequestError
        422 if it is invalid, or has a column of an unsupported type; 413 if it is too large.
    """
    with _translated_errors(NAMES[media_type]):
        table = _read_parquet(body, limits) if media_type == PARQUET else _read_arrow(body, limits)
        table.validate(full=True)  # the buffers came from outside: offsets could point anywhere
        if sum(map(decoded_size, table.columns)) > limits.decoded_bytes:
            raise _too_large(limits)
        table = table.unify_dictionaries().combine_chunks()
        arrays = [column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.columns]
        return pa.record_batch([_plain(array) for array in arrays], names=table.column_names)


def decoded_size(column: pa.ChunkedArray) -> int:
    """Return the bytes of a column's values, each string counted as often as it occurs."""
    return sum(map(_decoded_size, column.chunks))


def _read_arrow(body: bytes, limits: TableLimits) -> pa.Table:
    if body.startswith(ARROW_FILE):
        raise _invalid(
            NAMES[ARROW], "it is an Arrow file; send the stream format, as RecordBatchStreamWriter writes it"
        )
    check_declared_sizes(body, limits)
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        check_types(reader.schema)
        batches, n_rows = [], 0
        for batch in reader:
            n_rows += batch.num_rows
            _check_rows(n_rows, limits)
            batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def check_declared_sizes(body: bytes, limits: TableLimits) -> None:
    """Raise RequestError (413) if the buffers of an Arrow stream would be too large."""
    total, messages = 0, pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        try:
            total += decompressed_size(message.metadata.to_pybytes(), memoryview(message.body or b""))
        except ValueError as error:
            raise _invalid(NAMES[ARROW], str(error)) from None
        if total > limits.decoded_bytes:
            raise _too_large(limits)


def _read_parquet(body: bytes, limits: TableLimits) -> pa.Table:
    check_declared_pages(body, limits)
    with pq.ParquetFile(pa.BufferReader(body)) as file:
        check_types(file.schema_arrow)
        strings = [field.name for field in file.schema_arrow if _is_text(field.type)]
    # As dictionaries: a string that occurs a thousand times stays one.
    with pq.ParquetFile(pa.BufferReader(body), read_dictionary=strings) as file:
        table = file.read(use_threads=False)
    _check_rows(table.num_rows, limits)
    return table


def check_declared_pages(body: bytes, limits: TableLimits) -> None:
    """Raise RequestError (413) if a Parquet file has too many rows, or its pages would be too large."""
    try:
        sizes = parquet_sizes(body, limits.decoded_bytes)
    except ValueError as error:
        raise _invalid(NAMES[PARQUET], str(error)) from None
    _check_rows(sizes.rows, limits)
    if sizes.page_bytes > limits.decoded_bytes:
        raise _too_large(limits)


def check_types(schema: pa.Schema) -> None:
    """Raise RequestError (422) if two columns have the same name, or one has a type that no contract has."""
    for field in schema:
        value_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not any(is_kind(value_type) for is_kind in SUPPORTED):
            raise RequestError(
                422,
                f"the column has the type {str(field.type)[:60]}; send numbers, booleans, strings, dates or timestamps",
                "column_type",
                loc=("body", field.name[:100]),
            )
        if len(schema.get_all_field_indices(field.name)) > 1:
            raise RequestError(
                422, "two columns have this name; rename one", "column_twice", loc=("body", field.name[:100])
            )


def _decoded_size(array: pa.Array) -> int:
    kind = array.type
    if pa.types.is_null(kind):
        return 0
    if pa.types.is_dictionary(kind):
        sizes = _value_sizes(array.dictionary)
        return int(pc.sum(sizes.take(array.indices)).as_py() or 0)
    return int(pc.sum(_value_sizes(array)).as_py() or 0) if _is_text(kind) else len(array) * max(kind.bit_width, 8) // 8


def _value_sizes(array: pa.Array) -> pa.Array:
    """Return the bytes of each value."""
    if pa.types.is_string_view(array.type):
        views = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset : 4 * (array.offset + len(array)) : 4]
        return pa.array(views, pa.int64(), mask=array.is_null().to_numpy(zero_copy_only=False))
    if _is_text(array.type):
        return pc.binary_length(array).cast(pa.int64())
    width = 1 if pa.types.is_null(array.type) else max(array.type.bit_width // 8, 1)
    return pa.array(np.full(len(array), width))


def _plain(array: pa.Array) -> pa.Array:
    """Return views as strings, and dictionaries of other values decoded."""
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_dictionary(array.type) and not _is_plain_text(array.type.value_type):
        decoded = array.dictionary_decode()
        return decoded.cast(pa.large_string()) if pa.types.is_string_view(decoded.type) else decoded
    return array


def _is_text(kind: pa.DataType) -> bool:
    return _is_plain_text(kind) or bool(pa.types.is_string_view(kind))


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_rows(count: int, limits: TableLimits) -> None:
    if count > limits.rows:
        raise RequestError(
            413, f"the batch has {count} rows, but at most {limits.rows} are allowed; split it", "batch_too_long"
        )


def _too_large(limits: TableLimits) -> RequestError:
    return RequestError(
        413,
        f"the table has more than {limits.decoded_bytes} bytes when it is decompressed and decoded; split it",
        "table_too_large",
    )


def _invalid(name: str, reason: str) -> RequestError:
    return RequestError(422, f"the body is not valid as {name}: {' '.join(reason.split())[:200]}", "table_invalid")


@contextmanager
def _translated_errors(name: str) -> Iterator[None]:
    """Translate errors of pyarrow into a RequestError (422)."""
    errors: tuple[Any, ...] = (pa.ArrowException, OSError, UnicodeDecodeError)
    try:
        yield
    except errors as error:
        raise _invalid(name, str(error)) from error
