"""Labels out of a csv, tsv, Parquet or JSON file with the columns prediction_id, label or entity, event_time, label."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from skline.contract.frames import PLAIN
from skline.contract.parse import parse_column
from skline.contract.spec import Contract, Kind
from skline.errors import SklineError
from skline.logs.labels import Appended, Label, Labels, Refused
from skline.settings_source import Source
from skline.sources.tables import read_source

COLUMNS = ("prediction_id", "entity", "event_time", "label")
#: Labels stored in one transaction.
AT_ONCE = 5_000


def append_file(labels: Labels, contract: Contract, path: Path) -> Appended:
    """Read a file of labels and append them; cells of text are read as the target's type, explicitly.

    Returns
    -------
    The counts; `refused` has places of rows in the file, from 0, in order.

    Raises
    ------
    SklineError
        If the file cannot be read or lacks columns; StoreUnavailable if the store is away.
    """
    rows = _read_json(path) if path.suffix.lower() == ".json" else _read_table(path, contract.target.kind)
    new = known = 0
    refused: list[Refused] = []
    for start in range(0, len(rows), AT_ONCE):
        places, some = [], []
        for place, row in enumerate(rows[start : start + AT_ONCE], start):
            try:
                some.append(Label.model_validate(row))
                places.append(place)
            except ValidationError as error:
                refused.append(Refused(place, _words(error)))
        result = labels.append(some)
        new, known = new + result.new, known + result.known
        refused += [Refused(places[one.index], one.reason) for one in result.refused]
    return Appended(new=new, known=known, refused=sorted(refused, key=lambda one: one.index))


def _read_json(path: Path) -> list[dict[str, Any]]:
    """Read a list of objects."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SklineError(f"cannot read {path}: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SklineError(f'{path.name} must hold a list of objects: [{{"prediction_id": "…", "label": …}}, …]')
    return rows


def _read_table(path: Path, kind: Kind) -> list[dict[str, Any]]:
    """Read a table as rows for `Label`; an empty cell is left out of its row."""
    table, columns = read_source(
        path, Source(uri=str(path), delimiter="\t" if ".tsv" in path.suffixes else ","), COLUMNS
    )
    if "label" not in columns or not ("prediction_id" in columns or {"entity", "event_time"} <= set(columns)):
        raise SklineError(
            f"{path.name} has the columns {columns}; it needs prediction_id and label, or entity, event_time and label"
        )
    kinds: dict[str, Kind] = {"prediction_id": "string", "event_time": "datetime", "label": kind}
    cells = {
        name: _cells(table[name].combine_chunks(), kinds[name]) if name in kinds else table[name].to_pylist()
        for name in table.column_names
    }
    return [
        {name: value for name, value in zip(cells, values, strict=True) if value is not None}
        for values in zip(*cells.values(), strict=True)
    ]


def _cells(column: pa.Array, kind: Kind) -> list[Any]:
    """A column's cells in the contract's type; one that cannot be read stays what it is, and is refused for it."""
    series, bad = parse_column(column, kind)
    typed = [PLAIN[kind](value) if kind in PLAIN and value == value else value for value in series.tolist()]  # noqa: PLR0124
    return [
        raw if is_bad else None if raw is None else value
        for raw, value, is_bad in zip(column.to_pylist(), typed, bad, strict=True)
    ]


def _words(error: ValidationError) -> str:
    """The first thing that is wrong, in words."""
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "missing":
        return "there is no label"
    name = fault["loc"][0] if fault["loc"] else "row"
    return f"{name} {fault['input']!r}: {fault['msg']}"
