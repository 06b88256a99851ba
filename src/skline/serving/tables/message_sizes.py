"""How large the buffers of an Arrow IPC message become when they are decompressed, without decompressing them.

The positions are those of Arrow's flatbuffers (format/Message.fbs): a message has a header, the table of a record batch
or of a dictionary with one. Each compressed buffer begins with its length, or -1 if it is stored as it is.
"""

import struct

SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3
#: Positions of fields: in a message, in a dictionary batch, in a record batch.
MESSAGE_HEADER_TYPE, MESSAGE_HEADER = 1, 2
DICTIONARY_DATA = 1
BATCH_BUFFERS, BATCH_COMPRESSION = 2, 3


def decompressed_size(metadata: bytes, body: memoryview) -> int:
    """Return the bytes of a message's buffers once they are decompressed.

    Parameters
    ----------
    metadata : bytes
        The flatbuffer of the message, which Arrow has verified.
    body : memoryview
        Its buffers.

    Raises
    ------
    ValueError
        If a buffer is not within the body.
    """
    try:
        return _decompressed_size(metadata, body)
    except struct.error as error:
        raise ValueError(f"a buffer is not within its message ({error})") from None


def _decompressed_size(metadata: bytes, body: memoryview) -> int:
    message = _unsigned(metadata, 0)
    kind_at = _field(metadata, message, MESSAGE_HEADER_TYPE)
    kind = metadata[kind_at] if kind_at else 0
    if kind not in (DICTIONARY_BATCH, RECORD_BATCH):
        return 0
    batch = _target(metadata, _field(metadata, message, MESSAGE_HEADER))
    if kind == DICTIONARY_BATCH:
        batch = _target(metadata, _field(metadata, batch, DICTIONARY_DATA))
    if not _field(metadata, batch, BATCH_COMPRESSION):
        return len(body)
    buffers = _target(metadata, _field(metadata, batch, BATCH_BUFFERS))
    total = 0
    for index in range(_unsigned(metadata, buffers)):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * index)
        if length > 0:
            if offset < 0 or offset + length > len(body):
                raise ValueError("a buffer is not within its message")
            [size] = struct.unpack_from("<q", body, offset)
            total += length if size == -1 else max(size, 0)
    return total


def _field(data: bytes, table: int, index: int) -> int:
    """Return the position of a table's field; 0 if it is absent."""
    [back] = struct.unpack_from("<i", data, table)
    positions = table - back
    [size] = struct.unpack_from("<H", data, positions)
    place = 4 + 2 * index
    if place >= size:
        return 0
    [offset] = struct.unpack_from("<H", data, positions + place)
    return table + offset if offset else 0


def _target(data: bytes, position: int) -> int:
    """Return the position that a reference leads to."""
    return position + _unsigned(data, position)


def _unsigned(data: bytes, position: int) -> int:
    [value] = struct.unpack_from("<I", data, position)
    return int(value)
