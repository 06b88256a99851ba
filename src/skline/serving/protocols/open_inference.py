"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer), over HTTP, with the binary tensor extension.

A request has one tensor per column, of shape [rows] or [rows, 1], or a single tensor of shape [rows, columns] in
the contract's order. A member that is null counts as absent. The response has `prediction`, `probabilities`
(classifiers, in the order of the classes) and `prediction_id`. Missing values are null in JSON; in binary tensors they
are NaN, or an empty text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic import ConfigDict, Field

from skline.contract.spec import Column, Contract
from skline.serving.errors import RequestError
from skline.serving.prediction.body_checks import check_texts, check_total_members
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES, SMALL_BODY_BYTES, check_values
from skline.serving.protocols import coercion, tensors
from skline.serving.protocols.adapter import ScoredBatch
from skline.serving.protocols.coercion import bad_request
from skline.serving.protocols.tensors import BASE64, PLAIN_CONTENT_TYPES, Parameters, RequestPart, Tensor

#: Extensions whose parameters would change the meaning of the response, by parameter; ignoring them would be wrong.
UNSUPPORTED_EXTENSIONS = {
    "shared_memory_region": "shared memory",
    "classification": "the classification extension",
}
#: Members of an object of a request on average; the protocol defines fewer than ten.
MAX_MEMBERS = 30
PLATFORM = "skline"
EXTENSIONS = ["binary_tensor_data"]


class RequestedOutput(RequestPart):
    """An output that the request names."""

    name: str
    parameters: Parameters


class InferenceBody(RequestPart):
    """The JSON part of a request; KServe's client repeats the model's name, which stands in the URL."""

    model_config = ConfigDict(protected_namespaces=())

    id: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    parameters: Parameters
    inputs: list[Tensor] = Field(min_length=1)
    outputs: list[RequestedOutput] | None = None


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A parsed request: rows as /predict expects them, and the form of the response.

    Attributes
    ----------
    outputs : dict of str to bool
        Requested outputs in order, and whether each is to be binary.
    """

    rows: list[dict[str, Any]]
    id: str | None
    outputs: dict[str, bool]


def parse(body: bytes, header_length: str | None, contract: Contract, max_rows: int) -> InferenceRequest:
    """Parse a request; `header_length` is the header Inference-Header-Content-Length, if it was sent.

    Raises
    ------
    RequestError
        413 for too many rows, 422 for tensors that are inconsistent.
    pydantic.ValidationError
        If the JSON part is not valid JSON, or has another form.
    """
    length = _json_length(header_length, len(body))
    json_part = body[:length]
    if length > SMALL_BODY_BYTES:
        check_values(json_part, contract, max_rows)
        _check_sizes(json_part, contract)
    content = InferenceBody.model_validate_json(json_part)
    _check_parameters(content)
    _check_shapes(content.inputs, contract, max_rows)
    rows = _rows(content.inputs, _values(content.inputs, memoryview(body)[length:]), contract)
    return InferenceRequest(rows, content.id, _requested_outputs(content, contract))


def _check_sizes(json_part: bytes, contract: Contract) -> None:
    """Reject objects with far more members, and lists with far more objects, than the protocol has.

    Each of them would become an error before the request is rejected.
    """
    parts = 1 + 2 * (len(contract.inputs) + MAX_EXTRA_VALUES)
    check_total_members(json_part, MAX_MEMBERS * parts)
    try:
        content = pydantic_core.from_json(json_part)
    except ValueError:
        return  # the next step rejects it, and says why
    check_texts(json_part, content)
    if isinstance(content, dict):
        for name in ("inputs", "outputs"):
            if isinstance(content.get(name), list):
                _check_number(name, len(content[name]), contract)


def _check_number(name: str, number: int, contract: Contract) -> None:
    """Reject more inputs or outputs than a model can have."""
    most = len(contract.inputs) + MAX_EXTRA_VALUES
    if number > most:
        raise bad_request(f"the request has {number} {name}, but at most {most} are read", 413, "too_many_values")


def _check_parameters(content: InferenceBody) -> None:
    """Reject parameters that would change the meaning of values; others, which describe them, are ignored."""
    for part in (*content.inputs, *(content.outputs or ())):
        for parameter, extension in UNSUPPORTED_EXTENSIONS.items():
            if parameter in part.parameters:
                raise _not_supported(f"{part.name!r} has the parameter {parameter!r}: {extension}")
        allowed: tuple[str, ...] = PLAIN_CONTENT_TYPES
        if isinstance(part, Tensor) and part.datatype == "BYTES":
            allowed = (*PLAIN_CONTENT_TYPES, BASE64)
        _check_content_type(part.parameters, allowed, repr(part.name))
    _check_content_type(content.parameters, PLAIN_CONTENT_TYPES, "the request")


def _check_content_type(parameters: dict[str, Any], allowed: Sequence[str], owner: str) -> None:
    content_type = parameters.get("content_type")
    if content_type is not None and content_type not in allowed:
        raise _not_supported(f"{owner} has the content_type {str(content_type)[:40]!r}, which is none of {allowed}: it")


def _not_supported(what: str) -> RequestError:
    return bad_request(f"{what} is not supported; remove it", kind="not_supported")


def _json_length(header_length: str | None, total: int) -> int:
    """Return the length of the body's JSON part."""
    if header_length is None:
        return total
    if not (header_length.isascii() and header_length.isdigit()) or int(header_length[:20]) > total:
        raise bad_request(
            f"Inference-Header-Content-Length must be a number from 0 to {total}, the length of the body in bytes"
        )
    return int(header_length[:20])


def _values(inputs: list[Tensor], binary_part: memoryview) -> list[list[Any]]:
    """Return each tensor's values in row-major order."""
    values, offset = [], 0
    for tensor in inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values.append(tensors.read_data(tensor))
            continue
        available = len(binary_part) - offset
        if type(size) is not int or not 0 <= size <= available:
            raise bad_request(
                f"input {tensor.name!r}: binary_data_size must be a number from 0 to {available}, "
                "the bytes that are left in the body"
            )
        if tensor.data is not None:
            raise bad_request(f"input {tensor.name!r} has data twice, as JSON and binary; send one of them")
        values.append(tensors.read_binary(tensor, binary_part[offset : offset + size]))
        offset += size
    if offset < len(binary_part):
        raise bad_request(f"the last {len(binary_part) - offset} bytes of the body belong to no input")
    return values


def _check_shapes(inputs: list[Tensor], contract: Contract, max_rows: int) -> None:
    """Reject tensors that are not the columns of one table, before any value is read.

    Their elements are then at most those of `max_rows` rows, each of the contract's columns and MAX_EXTRA_VALUES more.
    """
    _check_number("inputs", len(inputs), contract)
    if len({tensor.name for tensor in inputs}) < len(inputs):
        raise bad_request("two inputs have the same name; send each column once")
    for tensor in inputs:
        coercion.check_row_count(tensor.shape[0], max_rows)
    if _is_table(inputs, contract):
        return
    count = inputs[0].shape[0]
    for tensor in inputs:
        if tensor.shape not in ([count], [count, 1]):
            raise bad_request(
                f"input {tensor.name!r} has shape {tensor.shape}; all inputs must have shape [{count}] or "
                f"[{count}, 1], or there must be a single input of shape [rows, {len(contract.inputs)}]"
            )


def _is_table(inputs: list[Tensor], contract: Contract) -> bool:
    """Whether the only tensor has all columns, in the contract's order."""
    first, names = inputs[0], contract.input_names
    width = first.shape[1] if len(first.shape) == 2 else 1
    return len(inputs) == 1 and first.name not in names and width == len(names)


def _rows(inputs: list[Tensor], values: list[list[Any]], contract: Contract) -> list[dict[str, Any]]:
    """Turn tensors, whose shapes are checked, into rows."""
    if _is_table(inputs, contract):
        flat, names = values[0], contract.input_names
        rows = (flat[start : start + len(names)] for start in range(0, len(flat), len(names)))
        return coercion.convert_table(contract, names, rows)
    readers = coercion.readers_of(contract)
    table: list[list[Any]] = []
    for tensor, column in zip(inputs, values, strict=True):
        reader = readers.get(tensor.name)
        table.append([coercion.read_cell(reader, value) for value in column])
    input_names = [tensor.name for tensor in inputs]
    return [dict(zip(input_names, row, strict=True)) for row in zip(*table, strict=True)]


def _requested_outputs(content: InferenceBody, contract: Contract) -> dict[str, bool]:
    """Return the requested outputs, all by default, and whether each is to be binary."""
    available = [output["name"] for output in describe_outputs(contract)]
    all_binary = content.parameters.get("binary_data_output", False) is True
    if not content.outputs:
        return dict.fromkeys(available, all_binary)
    for output in content.outputs:
        if output.name not in available:
            raise bad_request(f"unknown output {output.name[:100]!r}; the outputs are {', '.join(available)}")
    return {output.name: output.parameters.get("binary_data", all_binary) is True for output in content.outputs}


def render(request: InferenceRequest, batch: ScoredBatch, contract: Contract, name: str) -> tuple[bytes, int | None]:
    """Return the response's body, and the length of its JSON part if binary tensors follow it, else None."""
    values_by_output: dict[str, Any] = {
        "prediction": batch.scores.predictions,
        "probabilities": batch.scores.probabilities,
        "prediction_id": batch.ids,
    }
    descriptions = {output["name"]: output for output in describe_outputs(contract)}
    outputs, binary_parts = [], []
    for output_name, as_binary in request.outputs.items():
        values, datatype = values_by_output[output_name], descriptions[output_name]["datatype"]
        output: dict[str, Any] = {
            "name": output_name,
            "datatype": datatype,
            "shape": [len(values), *descriptions[output_name]["shape"][1:]],
        }
        if as_binary:
            binary_parts.append(tensors.write_binary(values, datatype))
            output["parameters"] = {"binary_data_size": len(binary_parts[-1])}
        else:
            output["data"] = values if isinstance(values, list) else values.ravel().tolist()
        outputs.append(output)
    content = {"model_name": name, "model_version": batch.version, "outputs": outputs}
    if request.id is not None:
        content["id"] = request.id
    json_part = pydantic_core.to_json(content)
    return (json_part + b"".join(binary_parts), len(json_part)) if binary_parts else (json_part, None)


def describe_inputs(contract: Contract) -> list[dict[str, Any]]:
    """Return the inputs' metadata; nullable numbers are FP64, in which NaN is the missing value."""
    return [{"name": column.name, "datatype": datatype_of(column), "shape": [-1]} for column in contract.inputs]


def describe_outputs(contract: Contract) -> list[dict[str, Any]]:
    """Return the outputs' metadata."""
    outputs = [{"name": "prediction", "datatype": _prediction_datatype(contract), "shape": [-1]}]
    if contract.classes is not None:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(contract.classes)]})
    return [*outputs, {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]}]


def datatype_of(column: Column) -> str:
    """Return the datatype that holds every value of a column; requests may use narrower ones."""
    return {"int64": "INT64", "float64": "FP64", "bool": "BOOL"}.get(column.storage, "BYTES")


def _prediction_datatype(contract: Contract) -> str:
    types = {type(value) for value in contract.classes or (0.0,)}
    if types == {bool}:
        return "BOOL"
    if types <= {int, float}:
        return "INT64" if types == {int} else "FP64"
    return "BYTES"
