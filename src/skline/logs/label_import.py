"""Import of labels from a CSV, TSV, Excel, Parquet, JSON or JSON Lines file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from skline.contract.cells import read_cells
from skline.contract.spec import CellFormat, Contract
from skline.errors import SklineError
from skline.logs.labels import AppendResult, Label, LabelLog, RejectedLabel
from skline.settings.source import Source
from skline.sources.dialect import detect_dialect
from skline.sources.tables import Say, header, read_source, say_nothing

#: Columns of a file: prediction_id and label, or entity, event_time and label.
COLUMNS = ("prediction_id", "entity", "event_time", "label")
#: Suffixes of files with one JSON object a line.
JSON_LINES = (".jsonl", ".ndjson")
#: Labels stored in one transaction.
CHUNK_LABELS = 5_000


def append_file(
    labels: LabelLog, contract: Contract, path: Path, given: Mapping[str, object] | None = None, say: Say = say_nothing
) -> AppendResult:
    """Append the labels of a file. Text is parsed as the target's type, by the contract's rules.

    Parameters
    ----------
    labels : LabelLog
    contract : Contract
    path : Path
    given : mapping, optional
        Settings of `skline.settings.source.Source` that are not detected, such as the delimiter.
    say : function of a text, optional
        Gets remarks about how the file is read.

    Returns
    -------
    AppendResult
        With indices of rows in the file, from 0, in order.

    Raises
    ------
    SklineError
        If the file cannot be read or lacks columns; StoreUnavailable if the database cannot be written.
    """
    if not path.is_file():
        raise SklineError(f"there is no file {str(path)!r} with labels")
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        rows = _read_json_lines(path)
    elif suffix == ".json":
        rows = _read_json(path)
    else:
        rows = _read_table(path, contract, given or {}, say)
    new = duplicates = unknown = 0
    rejected: list[RejectedLabel] = []
    for start in range(0, len(rows), CHUNK_LABELS):
        valid: list[Label] = []
        indices: list[int] = []
        for index, row in enumerate(rows[start : start + CHUNK_LABELS], start):
            try:
                valid.append(Label.model_validate(row))
                indices.append(index)
            except ValidationError as error:
                rejected.append(RejectedLabel(index, _first_error(error)))
        result = labels.append(valid)
        new, duplicates, unknown = new + result.new, duplicates + result.duplicates, unknown + result.unknown
        rejected += [RejectedLabel(indices[rejection.index], rejection.reason) for rejection in result.rejected]
    return AppendResult(new, duplicates, sorted(rejected, key=lambda rejection: rejection.index), unknown)


def _read_json(path: Path) -> list[dict[str, Any]]:
    """Read a list of objects."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SklineError(f"cannot read {path}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SklineError(f'{path.name} must hold a list of objects: [{{"prediction_id": "…", "label": …}}, …]')
    return rows


def _read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file with one object a line; blank lines are none."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise SklineError(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SklineError(f"{path.name}: line {number} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise SklineError(f'{path.name}: line {number} must be an object: {{"prediction_id": "…", "label": …}}')
        rows.append(row)
    if not rows:
        raise SklineError(f"{path.name} has no rows")
    return rows


def _read_table(path: Path, contract: Contract, given: Mapping[str, object], say: Say) -> list[dict[str, Any]]:
    """Read a table as rows for `Label`, without empty cells."""
    dialect = detect_dialect(path, given)
    for remark in dialect.remarks:
        say(remark)
    source = Source.model_validate({"uri": str(path)} | dialect.source)
    # The contract says how a label is read.
    source = source.model_copy(update={"missing": contract.shared_missing(), "trim": contract.trim})
    columns = header(path, source)
    if "label" not in columns or not ("prediction_id" in columns or {"entity", "event_time"} <= set(columns)):
        raise SklineError(
            f"{path.name} has the columns {columns}; it needs prediction_id and label, or entity, event_time and label"
        )
    table, _ = read_source(path, source, COLUMNS, say)
    formats = {"event_time": CellFormat("datetime"), "label": contract.cell_format(contract.target)}
    cells = {
        name: _read_column(table[name].combine_chunks(), formats.get(name, CellFormat("string")))
        for name in table.column_names
    }
    return [
        {name: value for name, value in zip(cells, values, strict=True) if value is not None}
        for values in zip(*cells.values(), strict=True)
    ]


def _read_column(cells: pa.Array, cell_format: CellFormat) -> list[Any]:
    """Read a column; unreadable cells stay as they are, so that `Label` rejects their rows."""
    values, unreadable = read_cells(cells, cell_format)
    if cell_format.kind == "datetime":
        values = values.cast(pa.timestamp("us"))
    return [
        raw if is_unreadable else value
        for raw, value, is_unreadable in zip(cells.to_pylist(), values.to_pylist(), unreadable, strict=True)
    ]


def _first_error(error: ValidationError) -> str:
    """Describe the first error of a label."""
    detail = error.errors(include_url=False)[0]
    if detail["type"] == "missing":
        return "the label is missing"
    name = detail["loc"][0] if detail["loc"] else "row"
    return f"{name} {detail['input']!r}: {detail['msg']}"
