"""The contract against the data: does it still describe what the line read, and has the source its columns."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from skline import paths
from skline.contract.spec import Contract
from skline.doctor.finding import Finding
from skline.errors import SklineError
from skline.settings import Settings
from skline.settings_source import Source as SourceSettings

#: The user's own files.
MODEL = Path("src/model")


def check() -> list[Finding]:
    """Compare src/model/contract.py with data/contract.json, and with the first line of the source."""
    from skline.contract.derive import derive_module

    modules: list[ModuleType] = []
    for name in ("contract", "source", "pipeline"):
        try:
            modules.append(importlib.import_module(f"model.{name}"))
        except Exception as error:  # noqa: BLE001 (whatever a person's file may raise is what is to be told)
            return [Finding("broken", f"{MODEL}/{name}.py cannot be imported: {_told(error)}", "correct it")]
    declared, prepared = modules[0], modules[1]
    if MODEL.resolve() not in Path(declared.__file__ or "").resolve().parents:
        return [
            Finding(
                "broken", f"this environment runs the code of {declared.__file__}, not that of this folder", "uv sync"
            )
        ]
    try:
        contract = derive_module(declared)
    except SklineError as error:
        return [Finding("broken", str(error), f"correct it in {MODEL}/contract.py")]
    found = [*_data(contract), *_source(contract, prepared)]
    return found or [Finding("ok", "the contract is that of the data, and the source has its columns")]


def _told(error: Exception) -> str:
    """One line of an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _data(contract: Contract) -> list[Finding]:
    """Whether the data that lie there were read by this contract."""
    if not paths.CONTRACT.is_file() or paths.CONTRACT.read_text(encoding="utf-8") == contract.to_json():
        return []
    return [Finding("look", f"{MODEL}/contract.py has changed since the data were read by it", "uv run dvc repro")]


def _source(contract: Contract, prepared: ModuleType) -> list[Finding]:
    """Take the source's header through ingest, without rows: a column that is missing is missed at once."""
    from skline.contract.table import KINDS
    from skline.settings_source import POSTGRESQL
    from skline.sources.locate import PACKAGE, local_file
    from skline.stages.ingest import ingest

    try:
        settings = Settings.load().source
    except SklineError:
        return []  # the check of params.yaml tells
    if settings.uri.startswith(POSTGRESQL) and importlib.util.find_spec("adbc_driver_postgresql") is None:
        return [Finding("broken", "the source is PostgreSQL, and its driver is not installed", "uv sync --group sql")]
    if "://" in settings.uri and not settings.uri.startswith(PACKAGE):
        return []  # elsewhere: the line asks for it when it runs
    try:
        reads = {name: KINDS[kind] for name, kind in prepared.READS.items()}
        with local_file(settings.uri) as path:
            empty, columns = _empty(path, settings, [*(c.name for c in contract.columns), *reads])
        ingest(empty, columns, contract, reads, prepared.prepare, settings.uri)
    except SklineError as error:
        return [Finding("broken", str(error), "correct the source, or src/model and params.yaml")]
    except Exception as error:  # noqa: BLE001 (prepare() is a person's own, and may not like a table without rows)
        what = f"prepare() in {MODEL}/source.py fails on a table without rows, so the columns are not checked"
        return [Finding("look", f"{what}: {_told(error)}", "let it work on columns as a whole")]
    return []


def _empty(path: Path, source: SourceSettings, wanted: list[str]) -> tuple[Any, list[str]]:
    """Read the source's columns and none of its rows."""
    from skline.sources.tables import header

    columns = header(path, source)
    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        table = pq.read_schema(path).empty_table()
    else:
        table = pa.table({name: pa.array([], pa.string()) for name in columns})
    return table.select([name for name in columns if name in wanted]), columns
