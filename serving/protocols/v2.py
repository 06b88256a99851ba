"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer), over HTTP, with the binary tensor extension.

A request has one tensor a column, of shape [rows] or [rows, 1], or a single tensor of shape [rows, columns] in
the contract's order. The answer has `prediction`, `probabilities` (classifiers, in the order of the classes)
and `prediction_id`. Missing values are null in JSON; in binary tensors NaN, or an empty text.
"""

from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic import Field

from serving.protocols import cells, tensors
from serving.protocols.cells import refused
from serving.protocols.service import Answered
from serving.protocols.tensors import Part, Tensor
from serving.values import check_values
from skline.contract.spec import Column, Contract

#: Request parameters that would change the answer's meaning, so that they are refused rather than passed over.
UNKNOWN = ("shared_memory_region", "classification")
ENGLISH = {"shared_memory_region": "shared memory", "classification": "the classification extension"}
PLATFORM = "skline"
EXTENSIONS = ["binary_tensor_data"]


class Requested(Part):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class InferBody(Part):
    """The JSON part of a request."""

    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[Tensor] = Field(min_length=1)
    outputs: list[Requested] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: rows as /predict would be sent them, and how the answer is to be written."""

    rows: list[dict[str, Any]]
    id: str | None
    #: Name of each output in order, and whether it is to be binary.
    outputs: dict[str, bool]


def parse(body: bytes, header_length: str | None, contract: Contract, max_rows: int) -> Question:
    """Read a request; `header_length` is the header Inference-Header-Content-Length, if sent.

    Raises
    ------
    RequestRefused
        413 for too many rows, 422 for tensors that do not hold together.
    pydantic.ValidationError
        If the JSON part is none, or of another form.
    """
    length = _length(header_length, len(body))
    head = body[:length]
    check_values(head, contract, max_rows)
    asked = InferBody.model_validate_json(head)
    for part in (*asked.inputs, *(asked.outputs or ())):
        for name in UNKNOWN:
            if name in part.parameters:
                raise refused(f"{part.name!r} asks for {ENGLISH[name]}, which is not spoken here", kind="not_supported")
    if len({tensor.name for tensor in asked.inputs}) < len(asked.inputs):
        raise refused("two inputs have the same name")
    for tensor in asked.inputs:
        cells.at_most(tensor.shape[0], max_rows)
    rows = _rows(asked.inputs, _values(asked.inputs, memoryview(body)[length:]), contract)
    return Question(rows, asked.id, _outputs(asked, contract))


def _length(header_length: str | None, total: int) -> int:
    """How much of the body is JSON."""
    if header_length is None:
        return total
    if not (header_length.isascii() and header_length.isdigit()) or int(header_length[:20]) > total:
        raise refused(f"Inference-Header-Content-Length must be a number up to the body's {total} bytes")
    return int(header_length[:20])


def _values(inputs: list[Tensor], tail: memoryview) -> list[tuple[list[Any], bool]]:
    """Read each tensor's values in row-major order, and whether they were binary."""
    values, at = [], 0
    for tensor in inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values.append((tensors.read_data(tensor), False))
            continue
        if type(size) is not int or not 0 <= size <= len(tail) - at:
            raise refused(f"input {tensor.name!r}: binary_data_size must be a number of bytes that the body has")
        if tensor.data is not None:
            raise refused(f"input {tensor.name!r} has data twice, as JSON and binary")
        values.append((tensors.read_binary(tensor, tail[at : at + size]), True))
        at += size
    if at < len(tail):
        raise refused(f"{len(tail) - at} bytes at the body's end belong to no input")
    return values


def _rows(inputs: list[Tensor], values: list[tuple[list[Any], bool]], contract: Contract) -> list[dict[str, Any]]:
    """Turn tensors into rows."""
    first, names = inputs[0], contract.input_names
    width = first.shape[1] if len(first.shape) == 2 else 1
    if len(inputs) == 1 and first.name not in names and width == len(names):
        flat, was_binary = values[0]
        read = cells.from_bytes if was_binary else cells.from_json
        return cells.read_table(contract, names, (flat[i : i + width] for i in range(0, len(flat), width)), read)
    columns = {column.name: column for column in contract.inputs}
    count = first.shape[0]
    table: list[list[Any]] = []
    for tensor, (flat, was_binary) in zip(inputs, values, strict=True):
        if tensor.shape[0] != count or len(flat) != count:
            raise refused(
                f"input {tensor.name!r} has the shape {tensor.shape}; all inputs must be of shape [{count}] or "
                f"[{count}, 1], or a single one of shape [rows, {len(names)}]"
            )
        read = cells.from_bytes if was_binary else cells.from_json
        column = columns.get(tensor.name)
        table.append(flat if column is None else [read(column, value) for value in flat])
    titles = [tensor.name for tensor in inputs]
    return [dict(zip(titles, row, strict=True)) for row in zip(*table, strict=True)]


def _outputs(asked: InferBody, contract: Contract) -> dict[str, bool]:
    """Which outputs are asked for, and whether as bytes."""
    known = [output["name"] for output in outputs_of(contract)]
    all_binary = asked.parameters.get("binary_data_output", False) is True
    if not asked.outputs:
        return dict.fromkeys(known, all_binary)
    for output in asked.outputs:
        if output.name not in known:
            raise refused(f"there is no output {output.name!r}; there are {', '.join(known)}")
    return {output.name: output.parameters.get("binary_data", all_binary) is True for output in asked.outputs}


def render(question: Question, answered: Answered, contract: Contract, name: str) -> tuple[bytes, int | None]:
    """Write the answer; the second value is the length of its JSON part if binary tensors follow it."""
    scores = answered.scores
    found: dict[str, Any] = {
        "prediction": scores.predictions,
        "probabilities": scores.probabilities,
        "prediction_id": answered.ids,
    }
    described = {output["name"]: output for output in outputs_of(contract)}
    outputs, tail = [], []
    for title, as_bytes in question.outputs.items():
        values, datatype = found[title], described[title]["datatype"]
        output: dict[str, Any] = {
            "name": title,
            "datatype": datatype,
            "shape": [len(values), *described[title]["shape"][1:]],
        }
        if as_bytes:
            tail.append(tensors.binary(values, datatype))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = values if isinstance(values, list) else values.ravel().tolist()
        outputs.append(output)
    answer = {"model_name": name, "model_version": answered.version, "outputs": outputs}
    if question.id is not None:
        answer["id"] = question.id
    head = pydantic_core.to_json(answer)
    return (head + b"".join(tail), len(head)) if tail else (head, None)


def outputs_of(contract: Contract) -> list[dict[str, Any]]:
    """Describe the outputs."""
    outputs = [{"name": "prediction", "datatype": _answer_type(contract), "shape": [-1]}]
    if contract.classes is not None:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(contract.classes)]})
    return [*outputs, {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]}]


def inputs_of(contract: Contract) -> list[dict[str, Any]]:
    """Describe the inputs; numbers that may be missing are FP64, for which NaN says so."""
    return [{"name": column.name, "datatype": datatype(column), "shape": [-1]} for column in contract.inputs]


def datatype(column: Column) -> str:
    """Return the datatype that says everything a column may hold; narrower ones are taken too."""
    return {"int64": "INT64", "float64": "FP64", "bool": "BOOL"}.get(column.storage, "BYTES")


def _answer_type(contract: Contract) -> str:
    """Return the datatype of `prediction`."""
    kinds = {type(value) for value in contract.classes or (0.0,)}
    if kinds == {bool}:
        return "BOOL"
    if kinds <= {int, float}:
        return "INT64" if kinds == {int} else "FP64"
    return "BYTES"
