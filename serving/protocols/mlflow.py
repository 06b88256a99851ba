"""MLflow's scoring protocol, which is also SageMaker's: POST /invocations, GET /ping.

JSON with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or CSV with a header line, as
https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ describes them. The answer is
`{"predictions": […]}`; what MLflow's own server does not know stands beside it: probabilities, ids, version.
"""

import csv
import io
from typing import Any

import pydantic_core

from serving.protocols import cells
from serving.protocols.cells import refused
from serving.protocols.service import Answered, labels
from serving.values import check_values
from skline.contract.spec import Contract

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ONE_OF = f"the body must be a JSON object with exactly one of {', '.join(FORMATS)}"


def parse(body: bytes, content_type: str, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Read a request's rows as /predict would be sent them.

    Raises
    ------
    RequestRefused
        415 for a content type that is not spoken, 413 for too many rows, 422 for a body that is no table.
    """
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    options = dict(part.lower().partition("=")[::2] for part in parameters if part)
    if options.pop("charset", "utf-8").strip('"') not in ("utf-8", "utf8"):
        raise refused("only UTF-8 is read", 415, "media_type")
    check_values(body, contract, max_rows)
    match kind.lower():
        case "application/json" | "":
            return parse_json(body, contract, max_rows)
        case "text/csv":
            return parse_csv(body, contract, header=options.get("header") != "absent", max_rows=max_rows)
        case _:
            raise refused("the content type must be application/json or text/csv", 415, "media_type")


def parse_json(body: bytes, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Read the JSON forms. NaN, which pandas' clients send for a missing value, is one."""
    try:
        given = pydantic_core.from_json(body)
    except ValueError as error:
        raise refused(f"the body is not valid JSON: {error}", kind="json_invalid") from None
    if not isinstance(given, dict):
        raise refused(ONE_OF)
    found = [name for name in FORMATS if name in given]
    if len(found) != 1:
        raise refused(ONE_OF + (f"; it has {' and '.join(found)}" if found else ""))
    unknown = given.keys() - {*FORMATS, "params"}
    if unknown:
        raise refused(f"{min(unknown)[:100]!r} means nothing here; leave it out")
    if given.get("params"):
        raise refused("this model takes no params; leave them out")
    table = given[found[0]]
    match found[0]:
        case "dataframe_split":
            return _split(table, contract, max_rows)
        case "inputs" if isinstance(table, dict):
            return _columns(table, contract, max_rows)
        case _:
            return _rows(table, contract, found[0], max_rows)


def _split(table: Any, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Read {"columns": [names], "data": [rows]}; an index is left aside."""
    if not isinstance(table, dict) or not isinstance(table.get("data"), list):
        raise refused("dataframe_split must be an object with the lists columns and data")
    names = table.get("columns")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refused("dataframe_split.columns must be a list of names")
    cells.at_most(len(table["data"]), max_rows)
    return cells.read_table(contract, names, table["data"])


def _columns(table: dict[str, Any], contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Read {name: [values]}, or {name: value} for one row."""
    if not any(isinstance(values, list) for values in table.values()):
        return [cells.read_record(contract, table, 0)]
    lengths = {name: len(values) if isinstance(values, list) else -1 for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise refused("the lists of inputs must be of one length, a value a row")
    cells.at_most(max(lengths.values()), max_rows)
    return cells.read_table(contract, list(table), map(list, zip(*table.values(), strict=True)))


def _rows(table: Any, contract: Contract, name: str, max_rows: int) -> list[dict[str, Any]]:
    """Read a list of rows: objects, or lists of cells in the contract's order."""
    if not isinstance(table, list):
        raise refused(f"{name} must be a list of rows")
    cells.at_most(len(table), max_rows)
    if name != "dataframe_records" and table and all(isinstance(row, list) for row in table):
        return cells.read_table(contract, contract.input_names, table)
    return [cells.read_record(contract, row, index) for index, row in enumerate(table)]


def parse_csv(body: bytes, contract: Contract, *, header: bool = True, max_rows: int) -> list[dict[str, Any]]:
    """Read CSV; without a header line the columns are the contract's, in its order.

    An unnamed first column is the index that pandas writes unless told not to, and is left aside.
    """
    try:
        text = body.decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = next(lines, []) if header else contract.input_names
        if not names:
            raise refused("the CSV is empty; its first line must name the columns")
        indexed = header and names[0] == "" and len(names) > 1
        rows = []
        for row in lines:
            if row:
                rows.append(row[1:] if indexed else row)
                cells.at_most(len(rows), max_rows)
    except UnicodeDecodeError:
        raise refused("the CSV is not UTF-8", kind="csv_invalid") from None
    except csv.Error as error:
        raise refused(f"the CSV cannot be read: {error}", kind="csv_invalid") from None
    return cells.read_table(contract, names[1:] if indexed else names, rows, cells.from_text)


def render(answered: Answered, contract: Contract) -> bytes:
    """Write the answer as JSON, everything in the order of the rows."""
    answer: dict[str, Any] = {"predictions": answered.scores.predictions.tolist()}
    names, chances = labels(contract), answered.scores.probabilities
    if names is not None and chances is not None:
        answer["probabilities"] = [dict(zip(names, row, strict=True)) for row in chances.tolist()]
    answer["model_version"] = answered.version
    answer["prediction_ids"] = answered.ids
    return pydantic_core.to_json(answer)
