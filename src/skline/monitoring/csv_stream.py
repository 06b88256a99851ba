"""Read CSV that arrives in blocks as Arrow tables of bounded size."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes that are parsed together; a row cannot be longer.
BLOCK_BYTES = 32 * 1024 * 1024


class BlockStream(io.RawIOBase):
    """A readable stream of blocks of bytes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer as far as one block goes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        part, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(part)] = part
        return len(part)


def read_batches(blocks: Iterator[bytes], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Parse CSV without a header whose values are quoted, and whose nulls are empty.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a row does not fit the schema.
    """
    # A stream without a row is an error of pyarrow's reader.
    first = next(blocks, None)
    if first is None:
        return
    stream = io.BufferedReader(BlockStream(_with_first(first, blocks)), BLOCK_BYTES)
    yield from csv.open_csv(
        stream,
        csv.ReadOptions(column_names=schema.names, block_size=BLOCK_BYTES),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        ),
    )


def _with_first(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks
