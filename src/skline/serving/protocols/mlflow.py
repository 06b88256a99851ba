"""MLflow's scoring protocol, which SageMaker shares: parse the body of POST /invocations, render its response.

Bodies are JSON with one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`, or CSV with a header line;
see https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/. The response is `{"predictions": […]}` with
additional members that MLflow's own server does not send: probabilities, model version and prediction ids.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pydantic_core

from skline.contract.notation import trimmed_name
from skline.contract.spec import Contract
from skline.serving.prediction.body_checks import check_objects, check_texts
from skline.serving.prediction.parsing import MAX_EXTRA_VALUES, SMALL_BODY_BYTES, check_values
from skline.serving.protocols import coercion, columns
from skline.serving.protocols.adapter import ScoredBatch
from skline.serving.protocols.coercion import bad_request

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ONE_OF = f"the body must be a JSON object with exactly one of {', '.join(FORMATS)}"
#: Characters of a line of CSV. The interpreter cannot do anything else while it reads a line.
MAX_LINE = 2**20


def parse(body: bytes, content_type: str, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Parse a request into rows as /predict expects them: text/csv as CSV, and every other content type as JSON.

    Raises
    ------
    RequestError
        415 for an unsupported charset, 413 for too many rows, 422 for a body that is not a table.
    """
    _, *parameters = (part.strip() for part in content_type.split(";"))
    options = dict(part.lower().partition("=")[::2] for part in parameters if part)
    charset = options.pop("charset", "utf-8").strip('"')
    if charset not in ("utf-8", "utf8"):
        raise bad_request(f"charset {charset[:40]!r} is not supported; send UTF-8", 415, "unsupported_media_type")
    check_values(body, contract, max_rows, is_csv=is_csv(content_type))
    if not is_csv(content_type) and len(body) > SMALL_BODY_BYTES:
        members = len(contract.inputs) + MAX_EXTRA_VALUES
        check_objects(body, objects=max_rows + members, members=members)
    if is_csv(content_type):
        return parse_csv(body, contract, header=options.get("header") != "absent", max_rows=max_rows)
    return parse_json(body, contract, max_rows)


def is_csv(content_type: str) -> bool:
    """Whether a Content-Type is that of CSV."""
    return content_type.partition(";")[0].strip().lower() == "text/csv"


def parse_json(body: bytes, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Parse the JSON formats. NaN is accepted as a missing value, because pandas' clients send it."""
    try:
        content = pydantic_core.from_json(body)
    except ValueError as error:
        raise bad_request(f"the body is not valid JSON: {error}", kind="json_invalid") from None
    check_texts(body, content)
    if not isinstance(content, dict):
        raise bad_request(ONE_OF)
    formats = [name for name in FORMATS if name in content]
    if len(formats) != 1:
        raise bad_request(ONE_OF + (f"; it has {' and '.join(formats)}" if formats else ""))
    unknown = content.keys() - {*FORMATS, "params"}
    if unknown:
        raise bad_request(f"unknown field {min(unknown)[:100]!r}; remove it")
    if content.get("params"):
        raise bad_request("this model has no params; remove them")
    table = content[formats[0]]
    match formats[0]:
        case "dataframe_split":
            return _parse_split(table, contract, max_rows)
        case "inputs" if isinstance(table, dict):
            return _parse_columns(table, contract, max_rows)
        case _:
            return _parse_rows(table, contract, formats[0], max_rows)


def _parse_split(table: Any, contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Parse {"columns": [names], "data": [rows]}; an index is ignored."""
    if not isinstance(table, dict) or not isinstance(table.get("data"), list):
        raise bad_request("dataframe_split must be an object with the lists columns and data")
    unknown = table.keys() - {"columns", "data", "index"}
    if unknown:
        raise bad_request(f"dataframe_split has the unknown field {min(unknown)[:100]!r}; remove it")
    names = table.get("columns")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request("dataframe_split.columns must be a list of names")
    coercion.check_row_count(len(table["data"]), max_rows)
    return coercion.convert_table(contract, names, table["data"])


def _parse_columns(table: dict[str, Any], contract: Contract, max_rows: int) -> list[dict[str, Any]]:
    """Parse {name: [values]}, or {name: value} for one row."""
    if any(isinstance(values, dict) for values in table.values()):
        raise bad_request(
            "inputs must have a list of values for each column, and has objects; of pandas' to_json send "
            "orient='records' as dataframe_records, or orient='split' as dataframe_split"
        )
    if not any(isinstance(values, list) for values in table.values()):
        return [coercion.convert_record(contract, table, 0)]
    lengths = {name: len(values) if isinstance(values, list) else -1 for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise bad_request("the lists of inputs must have the same length, one value per row")
    coercion.check_row_count(max(lengths.values()), max_rows)
    rows = map(list, zip(*table.values(), strict=True))
    return coercion.convert_table(contract, list(table), rows)


def _parse_rows(table: Any, contract: Contract, name: str, max_rows: int) -> list[dict[str, Any]]:
    """Parse a list of rows: objects, or lists of cells in the contract's order."""
    if not isinstance(table, list):
        raise bad_request(f"{name} must be a list of rows")
    coercion.check_row_count(len(table), max_rows)
    if name != "dataframe_records" and table and all(isinstance(row, list) for row in table):
        return coercion.convert_table(contract, contract.input_names, table)
    return [coercion.convert_record(contract, row, index) for index, row in enumerate(table)]


def parse_csv(body: bytes, contract: Contract, *, header: bool = True, max_rows: int) -> list[dict[str, Any]]:
    """Parse CSV, line by line; without a header line the columns are the contract's, in its order.

    A first column without a name is ignored: it is the index that pandas writes by default.
    """
    try:
        lines = csv.reader(_lines(body), strict=True)
        names = next(lines, []) if header else contract.input_names
        if contract.trim:
            names = [trimmed_name(name) for name in names]
        if not names:
            raise bad_request("the CSV is empty; its first line must name the columns")
        if header:
            columns.check_csv_header(contract, names)
        has_index = header and names[0] == "" and len(names) > 1
        rows = []
        for row in lines:
            if row:
                columns.check_delimiter(contract, row)
                rows.append(row[1:] if has_index else row)
                coercion.check_row_count(len(rows), max_rows)
    except UnicodeDecodeError:
        raise bad_request("the CSV is not UTF-8", kind="csv_invalid") from None
    except csv.Error as error:
        raise bad_request(f"the CSV is malformed: {error}", kind="csv_invalid") from None
    return coercion.convert_table(contract, names[1:] if has_index else names, rows)


def _lines(body: bytes) -> Iterator[str]:
    """Yield the lines of a CSV body; RequestError (413) at one that is too long to be read in one call."""
    stream = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise bad_request(f"a line of the CSV has more than {MAX_LINE} characters", 413, "line_too_long")
        yield line


def render(batch: ScoredBatch, contract: Contract) -> bytes:
    """Return the response as JSON, with all lists in the order of the rows."""
    content: dict[str, Any] = {"predictions": batch.scores.predictions.tolist()}
    names, probabilities = contract.class_names, batch.scores.probabilities
    if names is not None and probabilities is not None:
        content["probabilities"] = [dict(zip(names, row, strict=True)) for row in probabilities.tolist()]
    content["model_version"] = batch.version
    content["prediction_ids"] = batch.ids
    return pydantic_core.to_json(content)
