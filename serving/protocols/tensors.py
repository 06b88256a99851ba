"""Tensors of the Open Inference Protocol: JSON or binary data ↔ flat lists of Python values."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from serving.protocols.cells import refused

Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES"
]
#: What binary tensors hold: little-endian, row by row.
DTYPES: dict[str, str] = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


class Part(BaseModel):
    """A part of a request: closed, and without conversions."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Tensor(Part):
    """One input: its values as `data`, or behind the JSON if `parameters.binary_data_size` says so."""

    name: str
    shape: list[NonNegativeInt] = Field(min_length=1, max_length=2)
    datatype: Datatype
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: list[Any] | None = None


def read_binary(tensor: Tensor, tail: memoryview) -> list[Any]:
    """Read a tensor's values out of its bytes.

    Raises
    ------
    RequestRefused
        If the bytes do not fit shape and datatype.
    """
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return _read_texts(tensor, tail, count)
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(tail) != count * dtype.itemsize:
        raise refused(
            f"input {tensor.name!r}: {len(tail)} bytes, but shape {tensor.shape} of {tensor.datatype} "
            f"is {count * dtype.itemsize}"
        )
    if tensor.datatype == "BOOL":
        flags = np.frombuffer(tail, np.uint8)
        if (flags > 1).any():
            raise refused(f"input {tensor.name!r}: a BOOL must be the byte 0 or 1")
    values: list[Any] = np.frombuffer(tail, dtype).tolist()
    return values


def _read_texts(tensor: Tensor, tail: memoryview, count: int) -> list[Any]:
    """Read texts, each behind its length in four bytes."""
    values: list[Any] = []
    at = 0
    try:
        while at < len(tail):
            size = int.from_bytes(tail[at : at + 4], "little")
            end = at + 4 + size
            if at + 4 > len(tail) or end > len(tail):
                raise refused(f"input {tensor.name!r}: element {len(values)} is longer than the tensor")
            values.append(str(tail[at + 4 : end], "utf-8"))
            at = end
    except UnicodeDecodeError:
        raise refused(f"input {tensor.name!r}: element {len(values)} is not UTF-8") from None
    if len(values) != count:
        raise refused(f"input {tensor.name!r}: {len(values)} elements, but shape {tensor.shape} is {count}")
    return values


def read_data(tensor: Tensor) -> list[Any]:
    """Read a tensor's values out of its JSON, flat or nested; null is a missing value.

    Raises
    ------
    RequestRefused
        If there are more or fewer than the shape says, or one is not of the datatype.
    """
    if tensor.data is None:
        raise refused(f"input {tensor.name!r} has no data")
    flat = tensor.data
    for _ in tensor.shape[1:]:  # no deeper: a list within would cost time and be of no datatype in the end
        if flat and all(isinstance(value, list) for value in flat):
            flat = [inner for value in flat for inner in value]
    count = math.prod(tensor.shape)
    if len(flat) != count:
        raise refused(f"input {tensor.name!r}: {len(flat)} elements, but shape {tensor.shape} is {count}")
    kinds = _kinds(tensor.datatype)
    for index, value in enumerate(flat):
        if value is not None and type(value) not in kinds:
            raise refused(f"input {tensor.name!r}: element {index} is no {tensor.datatype}")
    return flat


def _kinds(datatype: str) -> tuple[type, ...]:
    """What JSON values a datatype may have."""
    if datatype == "BYTES":
        return (str,)
    if datatype == "BOOL":
        return (bool,)
    return (int, float) if datatype.startswith("FP") else (int,)


def binary(values: npt.NDArray[Any] | Sequence[str], datatype: str) -> bytes:
    """Write values as a binary tensor."""
    if datatype != "BYTES":
        return np.asarray(values).astype(DTYPES[datatype]).tobytes()
    encoded = [str(value).encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
