"""Try the contract on the table, before anything is written: as the line will read it and judge it."""

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skline.contract.spec import Contract
from skline.init.guess import Guess
from skline.init.table import Table
from skline.stages.ingest import ingest
from skline.stages.validate import refuse_too_many, validate

#: The name under which the contract is imported.
MODULE = "_skline_init_contract"


@contextmanager
def imported(text: str) -> Iterator[ModuleType]:
    """Import the text of a contract as a module of its own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        path = Path(folder) / "contract.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(MODULE, path)
        if spec is None or spec.loader is None:
            raise ImportError(str(path))
        module = importlib.util.module_from_spec(spec)
        sys.modules[MODULE] = module
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            del sys.modules[MODULE]


def tried(
    table: Table, declared: ModuleType, contract: Contract, event_time: Guess | None, time: Guess | None
) -> tuple[pd.DataFrame, list[str]]:
    """Take the table through ingest and validation as the line will; returns the accepted rows, and remarks."""

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        if event_time is None or time is None:
            return frame
        frame = frame.copy()
        frame[event_time.name] = frame[time.name]
        return frame

    cells = table.cells
    for column in cells.column_names:
        index = cells.column_names.index(column)
        cells = cells.set_column(index, column, _without(cells.column(column), table.source.get("missing")))
    raw = ingest(cells, cells.column_names, contract, {}, prepare, table.source["uri"])
    result = validate(raw.table, raw.unparsed, declared.Labelled, contract)
    refuse_too_many(result.report, 0.01)
    remarks = []
    if result.report["unlabelled"]:
        remarks.append(f"{result.report['unlabelled']:,} rows have no {contract.target.name!r}: they are set aside")
    if result.report["quarantined"]:
        rules = "; ".join(f"{rule['column']} {rule['rule']}" for rule in result.report["broken_rules"][:3])
        remarks.append(f"{result.report['quarantined']:,} rows break the contract and go to quarantine: {rules}")
    return result.accepted, remarks


def _without(cells: Any, missing: list[str] | None) -> Any:
    """Empty the cells that a new reading of the source will find missing."""
    if missing is None or not pa.types.is_string(cells.type):
        return cells
    return pc.if_else(pc.is_in(cells, value_set=pa.array(missing)), None, cells)
