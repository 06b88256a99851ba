"""Try a rendered contract on the table as the pipeline's first stages will, before anything is written."""

import importlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pandas as pd

from skline.contract.spec import Contract
from skline.init.codegen.source_and_params import MAX_QUARANTINED
from skline.init.inference.column_guess import ColumnGuess
from skline.init.inference.table import InspectedTable
from skline.settings.source import Source, with_source_format
from skline.sources.cleaning import trimmed
from skline.stages.derived_columns import Columns
from skline.stages.ingest import ingest
from skline.stages.validate import check_quarantine, validate


@contextmanager
def imported_source(text: str) -> Iterator[ModuleType]:
    """Import the text of a contract or a pipeline as a module, whose file exists until the block ends."""
    name = f"rendered_{secrets.token_hex(8)}"  # unique: Python would return a cached module of the same name
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            importlib.invalidate_caches()
            yield importlib.import_module(name)
        finally:
            sys.path.remove(folder)


def dry_run(
    table: InspectedTable,
    module: ModuleType,
    contract: Contract,
    event_time: ColumnGuess | None,
    time: ColumnGuess | None,
) -> tuple[pd.DataFrame, list[str]]:
    """Run the stages ingest and validate on the table in memory.

    Returns
    -------
    accepted : DataFrame
        The rows that follow the contract and have a target.
    remarks : list of str
        How many rows are not accepted, and why.

    Raises
    ------
    SklineError
        If more rows break the contract than `validate.max_quarantined` in the rendered params.yaml allows.
    """

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        if event_time is None or time is None:
            return frame
        frame = frame.copy()
        frame[event_time.name] = frame[time.name]
        return frame

    source = Source.model_validate(table.source)
    cells = trimmed(table.cells, ("",))[0] if source.trim else table.cells
    described = with_source_format(contract, source)
    raw = ingest(cells, Columns(cells.column_names, described, {}, prepare, source=table.source["uri"]))
    result = validate(raw.table, raw.unparsed, module.Labelled, contract)
    check_quarantine(result.report, MAX_QUARANTINED)
    remarks = []
    if result.report["unlabelled"]:
        count = result.report["unlabelled"]
        verbs = "row has no {} and is" if count == 1 else "rows have no {} and are"
        remarks.append(f"{count:,} {verbs.format(repr(contract.target.name))} not used")
    if result.report["quarantined"]:
        rules = "; ".join(f"{rule['column']} {rule['rule']}" for rule in result.report["broken_rules"][:3])
        count = result.report["quarantined"]
        verbs = "row breaks the contract and is" if count == 1 else "rows break the contract and are"
        remarks.append(f"{count:,} {verbs} quarantined: {rules}")
    return result.accepted, remarks
