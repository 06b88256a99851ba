"""The ways in which a value reaches a model or a log, each as a function that reads one column named x."""

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from skline.batch.read import TableFormat, TableReader
from skline.batch.validation import BatchValidator
from skline.contract.column_parsing import parse
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.input_rows import InputRows, Rows
from skline.logs.label_import import append_file
from skline.logs.labels import AppendResult, Label, label_validator
from skline.serving.api.labels import LABELS
from skline.serving.errors import ValidationFailed
from skline.serving.prediction.parsing import RequestParser
from skline.serving.protocols import mlflow, open_inference
from skline.serving.protocols.tensors import DTYPES
from skline.settings.source import Source
from skline.sources.tables import read_source

#: A reading: the value, or why it is rejected.
Reading = tuple[str, Any]
REJECTED = "rejected"


class Setup(NamedTuple):
    """What reads one column."""

    contract: Contract
    parser: RequestParser
    validator: BatchValidator
    input_rows: InputRows


@cache
def setup(column: Column, *, trim: bool = False) -> Setup:
    """Return what reads a column called x; beside it is a column z, so that no line of a CSV is empty."""
    others = (Column(name="z", kind="string"), Column(name="y", kind="number", role="target"))
    contract = Contract(title="T", task="regression", columns=(column, *others), trim=trim)
    return Setup(contract, RequestParser(contract, 10), BatchValidator(contract), InputRows(contract))


def same(one: Reading, other: Reading) -> bool:
    """Whether two readings are the same; 1 is not 1.0, and not True."""
    return one == other and type(one[1]) is type(other[1])


def read_or_reject(parse_rows: Callable[[], Any]) -> Reading:
    """Return the reading of one row with the column x."""
    try:
        [row] = parse_rows()
    except ValidationError as error:
        return REJECTED, error.errors()[0]["msg"]
    except ValidationFailed as error:
        return REJECTED, error.detail[0]["msg"]
    return "read", row["x"]


def predicted(given: Setup, value: Any) -> Reading:
    """Read a JSON value as /predict does, with an explanation and without."""
    return read_or_reject(lambda: [given.parser.parse_row(json.dumps({"x": value, "z": "other"}).encode())])


def requests(given: Setup, value: Any) -> dict[str, Reading]:
    """Read a JSON value by each route that takes JSON, and by `skline.load`."""
    row = {"x": value, "z": "other"}
    readings = {
        "/predict": predicted(given, value),
        "/predict/batch": read_or_reject(lambda: given.parser.parse_rows(json.dumps([row]).encode())),
        "skline.load of rows": loaded(given, [row]),
        "skline.load of a DataFrame": loaded(given, pd.DataFrame({name: [cell] for name, cell in row.items()})),
    }
    tables: dict[str, Any] = {
        "dataframe_records": [row],
        "dataframe_split": {"columns": ["z", "x"], "data": [["other", value]]},
        "instances": [row],
        "inputs": {"x": [value], "z": ["other"]},
    }
    bodies = {name: {name: table} for name, table in tables.items()}
    bodies |= {"instances of lists": {"instances": [[value, "other"]]}, "inputs of one row": {"inputs": row}}
    bodies["inputs of rows"] = {"inputs": [row]}
    for name, content in bodies.items():
        readings[f"/invocations {name}"] = invoked(given, json.dumps(content), "application/json")
    return readings | tensors(given, value)


def loaded(given: Setup, rows: Rows) -> Reading:
    """Read a row as `predict` of `skline.load` does."""
    try:
        [row] = given.input_rows.read(rows)
    except SklineError as error:
        message = re.sub(r" \(got .*\)$", "", str(error), flags=re.DOTALL)
        return REJECTED, message.removeprefix("row 0: x: ")
    return "read", row["x"]


def invoked(given: Setup, body: str, content_type: str) -> Reading:
    """Read a body as /invocations does."""
    return read_or_reject(
        lambda: given.parser.validate_rows(mlflow.parse(body.encode(), content_type, given.contract, 10))
    )


def csv_requests(given: Setup, text: str) -> dict[str, Reading]:
    """Read a text in a CSV that is sent to /invocations."""
    names, cells = csv_text([text]).split("\n", 1)
    return {
        "/invocations text/csv": invoked(given, f"{names}\n{cells}", "text/csv"),
        "/invocations text/csv without names": invoked(given, cells, "text/csv; header=absent"),
    }


def csv_text(values: list[str]) -> str:
    """Write texts as the column x of a CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["x", "z"])
    writer.writerows([value, "other"] for value in values)
    return text.getvalue()


def tensors(given: Setup, value: Any) -> dict[str, Reading]:
    """Read a value by the Open Inference Protocol, in JSON and in binary."""
    if value is None:
        datatype = open_inference.datatype_of(given.contract["x"])
    else:
        datatype = {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL"}[type(value)]
    if datatype == "INT64" and value is not None and not -(2**63) <= value < 2**63:
        return {}
    readings = {"/v2": inferred(given, datatype, [value])}
    if value is None:
        return readings
    if datatype != "BYTES":
        return readings | {"/v2 binary": inferred(given, datatype, np.array([value], DTYPES[datatype]).tobytes())}
    raw = value.encode()
    table = {"name": "table", "shape": [1, 2], "datatype": "BYTES", "data": [value, "other"]}
    encoded = {"parameters": {"content_type": "base64"}}
    return readings | {
        "/v2 binary": inferred(given, datatype, len(raw).to_bytes(4, "little") + raw),
        "/v2 base64": inferred(given, datatype, [base64.b64encode(raw).decode()], encoded),
        "/v2 one tensor": sent_tensors(given, [table]),
    }


def inferred(given: Setup, datatype: str, data: list[Any] | bytes, members: dict[str, Any] | None = None) -> Reading:
    """Read a tensor of one element, as JSON or as bytes."""
    x = {"name": "x", "shape": [1], "datatype": datatype} | (members or {})
    z = {"name": "z", "shape": [1], "datatype": "BYTES", "data": ["other"]}
    if not isinstance(data, bytes):
        return sent_tensors(given, [x | {"data": data}, z])
    return sent_tensors(given, [x | {"parameters": {"binary_data_size": len(data)}}, z], data)


def sent_tensors(given: Setup, inputs: list[dict[str, Any]], content: bytes = b"") -> Reading:
    """Read the tensors of a request."""
    head = json.dumps({"inputs": inputs}).encode()
    return read_or_reject(
        lambda: given.parser.validate_rows(
            open_inference.parse(head + content, str(len(head)), given.contract, 10).rows
        )
    )


def ingested(given: Setup, path: Path, source: Source) -> list[Reading]:
    """Read the column x of a file as the stage ingest does; its missing cells are rejected by the stage validate."""
    column = given.contract["x"]
    table, _ = read_source(path, source, ["x", "z"])
    parsed = parse(table.select(["x"]), {"x": given.contract.cell_format(column)})
    readings: list[Reading] = []
    reasons = dict(zip(parsed.failures["row"], parsed.failures["rule"], strict=True))
    for row, value in enumerate(parsed.frame["x"].astype(object).tolist()):
        if row in reasons:
            readings.append((REJECTED, reasons[row].replace("is not ", "Input should be ", 1)))
        elif is_missing(value):
            readings.append(("read", None) if column.nullable else (REJECTED, "Input should not be missing"))
        elif column.choices is not None and value not in column.choices:
            readings.append((REJECTED, "Input should be 'NA', 'DE' or 'x'"))
        else:
            readings.append(("read", plain(column, value)))
    return readings


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN or NaT."""
    return bool(value is None or value != value)  # noqa: PLR0124 NaN and NaT


def plain(column: Column, value: Any) -> Any:
    """Return a stored value as a request holds it."""
    match column.kind:
        case "integer":
            return int(value)
        case "boolean":
            return bool(value)
        case "date":
            return pd.Timestamp(value).to_pydatetime().date()
        case "datetime":
            return pd.Timestamp(value).to_pydatetime()
        case "number":
            return float(value)
        case _:
            return value


def scored(given: Setup, path: Path, source: Source | None = None) -> list[Reading]:
    """Read the column x of a file as `skline score` does."""
    column = given.contract["x"]
    reader = TableReader(path, TableFormat(default=source))
    [part] = list(reader.parts(["x", "z"], ["z", *(["x"] if column.kind == "string" else [])]))
    validated = given.validator.validate(part)
    readings: dict[int, Reading] = {
        row: (REJECTED, reasons[0].removeprefix("x: ")) for row, reasons in validated.rejected.items()
    }
    accepted = pd.Series(list(validated.columns["x"]), dtype=object)
    for row, value in zip(validated.accepted.tolist(), accepted.tolist(), strict=True):
        readings[row] = ("read", None if is_missing(value) else plain(column, value))
    return [readings[row] for row in range(part.num_rows)]


class Recorder:
    """A label log that validates labels as the real one does, and keeps them in memory."""

    def __init__(self, contract: Contract) -> None:
        self.validate = label_validator(contract)
        self.appended: list[Reading] = []

    def read(self, value: Any) -> Reading:
        """Read a label."""
        try:
            return "read", self.validate(value)
        except ValueError as error:
            return REJECTED, str(error).removeprefix(f"label {value!r}: ")

    def append(self, labels: list[Label]) -> AppendResult:
        """Read the labels of a part of a file."""
        self.appended += [self.read(label.label) for label in labels]
        return AppendResult(len(labels), 0, [])


class LabelReader:
    """Reads values of a column as the labels of a model whose target it is."""

    def __init__(self, given: Setup) -> None:
        target = given.contract["x"].model_copy(update={"role": "target", "nullable": False})
        self.contract = given.contract.model_copy(update={"columns": (target, given.contract["z"])})

    def by_request(self, value: Any) -> Reading:
        """Read a label of POST /labels."""
        try:
            [label] = LABELS.validate_json(json.dumps([{"prediction_id": "p", "label": value}]))
        except ValidationError as error:
            return REJECTED, error.errors()[0]["msg"]
        return Recorder(self.contract).read(label.label)

    def by_file(self, path: Path) -> Reading:
        """Read the only label of a file, as `skline label` does."""
        recorder = Recorder(self.contract)
        try:
            result: Any = append_file(recorder, self.contract, path)  # type: ignore[arg-type]
        except SklineError as error:  # the only row does not count as one
            return REJECTED, str(error)
        return recorder.appended[0] if recorder.appended else (REJECTED, result.rejected[0].reason)

    def by_text(self, text: str, folder: Path) -> Reading:
        """Read the label of a CSV."""
        path = folder / "labels.csv"
        path.write_text(csv_text([text]).replace("x,z", "label,prediction_id"), encoding="utf-8")
        return self.by_file(path)

    def by_json_file(self, value: Any, folder: Path) -> Reading:
        """Read the label of a JSON file."""
        path = folder / "labels.json"
        path.write_text(json.dumps([{"prediction_id": "p", "label": value}]))
        return self.by_file(path)


def parquet_of(cells: pa.Array, folder: Path, name: str = "x", other: str = "z") -> Path:
    """Write cells as the column of a Parquet file."""
    import pyarrow.parquet as pq

    path = folder / "table.parquet"
    pq.write_table(pa.table({name: cells, other: ["other"] * len(cells)}), path)
    return path
