"""Tensors of the Open Inference Protocol: JSON or binary data ↔ flat lists of Python values."""

import base64
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, NonNegativeInt

from skline.serving.prediction.body_checks import MAX_TEXT, text_too_long
from skline.serving.protocols.coercion import bad_request

Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64", "BYTES"
]
#: NumPy's dtype for each datatype of binary tensors: little-endian, in row-major order.
DTYPES: dict[str, str] = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


#: Parameters of a request or of one of its parts; null, as generated clients write it, is absence.
Parameters = Annotated[
    dict[str, Any], BeforeValidator(lambda value: {} if value is None else value), Field(default_factory=dict)
]
#: MLServer's content types with which an input's values are the column's values, and the one that encodes them.
PLAIN_CONTENT_TYPES = ("np", "pd", "str", "datetime")
BASE64 = "base64"


class RequestPart(BaseModel):
    """A part of an inference request; unknown fields are rejected and types are not converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Tensor(RequestPart):
    """One input: its values are in `data`, or follow the JSON part if `parameters` has `binary_data_size`."""

    name: str
    shape: Annotated[list[NonNegativeInt], FailFast()] = Field(min_length=1, max_length=2)
    datatype: Datatype
    parameters: Parameters
    data: list[Any] | None = None


def read_binary(tensor: Tensor, content: memoryview) -> list[Any]:
    """Return a tensor's values, in row-major order, from its binary content.

    It reads no more elements than the shape has, so the caller limits its work by limiting the shape.

    Raises
    ------
    RequestError
        If the content does not fit shape and datatype.
    """
    count = math.prod(tensor.shape)
    if tensor.datatype == "BYTES":
        return _decode(tensor, _read_texts(tensor, content, count))
    dtype = np.dtype(DTYPES[tensor.datatype])
    if len(content) != count * dtype.itemsize:
        raise bad_request(
            f"input {tensor.name!r} has {len(content)} bytes, but shape {tensor.shape} of {tensor.datatype} "
            f"needs {count * dtype.itemsize}"
        )
    if tensor.datatype == "BOOL":
        flags = np.frombuffer(content, np.uint8)
        if (flags > 1).any():
            raise bad_request(f"input {tensor.name!r}: a BOOL must be the byte 0 or 1")
    values: list[Any] = np.frombuffer(content, dtype).tolist()
    return values


def _read_texts(tensor: Tensor, content: memoryview, count: int) -> list[Any]:
    """Read `count` texts, each preceded by its length in four bytes."""
    values: list[Any] = []
    offset = 0
    try:
        while offset < len(content) and len(values) < count:
            size = int.from_bytes(content[offset : offset + 4], "little")
            end = offset + 4 + size
            if offset + 4 > len(content) or end > len(content):
                raise bad_request(f"input {tensor.name!r}: element {len(values)} is longer than the tensor")
            if size > MAX_TEXT:
                raise text_too_long()
            values.append(str(content[offset + 4 : end], "utf-8"))
            offset = end
    except UnicodeDecodeError:
        raise bad_request(f"input {tensor.name!r}: element {len(values)} is not UTF-8") from None
    if len(values) < count:
        raise bad_request(f"input {tensor.name!r} has {len(values)} elements, but shape {tensor.shape} needs {count}")
    if offset < len(content):
        raise bad_request(
            f"input {tensor.name!r} has more than {count} elements, but shape {tensor.shape} needs {count}"
        )
    return values


def read_data(tensor: Tensor) -> list[Any]:
    """Return a tensor's values, in row-major order, from its JSON data, flat or nested; null is a missing value.

    Raises
    ------
    RequestError
        If there is no data, its length does not fit the shape, or an element is not of the datatype.
    """
    if tensor.data is None:
        raise bad_request(f"input {tensor.name!r} has no data")
    flat = tensor.data
    # Flatten no deeper than the shape: deeper lists would cost time, and no datatype accepts a list anyway.
    for _ in tensor.shape[1:]:
        if flat and all(isinstance(value, list) for value in flat):
            flat = [inner for value in flat for inner in value]
    count = math.prod(tensor.shape)
    if len(flat) != count:
        raise bad_request(f"input {tensor.name!r} has {len(flat)} elements, but shape {tensor.shape} needs {count}")
    types = _json_types(tensor.datatype)
    for index, value in enumerate(flat):
        if value is not None and type(value) not in types:
            raise bad_request(f"input {tensor.name!r}: element {index} is not of datatype {tensor.datatype}")
    return _decode(tensor, flat)


def _decode(tensor: Tensor, values: list[Any]) -> list[Any]:
    """Return values with MLServer's content type base64 as the texts that they encode; null stays null."""
    if tensor.parameters.get("content_type") != BASE64:
        return values
    try:
        return [None if value is None else base64.b64decode(value, validate=True).decode() for value in values]
    except ValueError:  # binascii.Error and UnicodeDecodeError are of this class
        message = f"input {tensor.name!r}: an element is not UTF-8 text in base64, as its content_type says"
        raise bad_request(message) from None


def _json_types(datatype: str) -> tuple[type, ...]:
    """Return the types of JSON values that a datatype accepts."""
    if datatype == "BYTES":
        return (str,)
    if datatype == "BOOL":
        return (bool,)
    return (int, float) if datatype.startswith("FP") else (int,)


def write_binary(values: npt.NDArray[Any] | Sequence[str], datatype: str) -> bytes:
    """Return values as the content of a binary tensor."""
    if datatype != "BYTES":
        return np.asarray(values).astype(DTYPES[datatype]).tobytes()
    encoded = [str(value).encode() for value in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
