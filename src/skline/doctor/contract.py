"""Check of src/model: the contract describes the data, the source has its columns, and the pipeline can be built."""

import glob
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from skline import paths
from skline.contract.spec import Contract
from skline.doctor.findings import Finding
from skline.errors import SklineError
from skline.project import has_remote
from skline.settings import Settings
from skline.settings.lookups import with_lookups
from skline.settings.source import Source as SourceSettings
from skline.settings.source import with_source_format

#: Folder of the user's own modules.
MODEL = Path("src/model")
CORRECT_SOURCE = "correct the source, or src/model and params.yaml"


def check() -> list[Finding]:
    """Compare the contract with data/contract.json and with the columns of the source; build the pipeline for it."""
    from skline.contract.derive import derive_module

    modules: list[ModuleType] = []
    for name in ("contract", "source", "pipeline"):
        try:
            modules.append(importlib.import_module(f"model.{name}"))
        except Exception as error:  # noqa: BLE001 (the user's own module may raise anything)
            return [Finding("broken", f"{MODEL}/{name}.py cannot be imported: {_one_line(error)}", "correct it")]
    contract_module, source_module, pipeline_module = modules
    if MODEL.resolve() not in Path(contract_module.__file__ or "").resolve().parents:
        message = f"this environment imports {contract_module.__file__}, not the code of this folder"
        return [Finding("broken", message, "run this in the project's root, without PYTHONPATH")]
    try:
        contract = derive_module(contract_module)
    except SklineError as error:
        return [Finding("broken", str(error), f"correct it in {MODEL}/contract.py")]
    pipeline_findings = _check_pipeline(contract, pipeline_module)
    try:
        settings = Settings.load()
    except SklineError:  # reported by the check of params.yaml
        message = f"the contract is valid; it is not compared with the data, because {paths.PARAMS} is not valid"
        return pipeline_findings or [Finding("ok", message)]
    try:
        contract = with_lookups(with_source_format(contract, settings.source), settings.lookups)
    except SklineError as error:
        return [*pipeline_findings, Finding("broken", str(error), f"correct {MODEL}/contract.py or {paths.PARAMS}")]
    requested = contract.for_requests()
    findings = [*pipeline_findings, *_check_data(contract), *_check_source(requested, settings.source, source_module)]
    return findings or [Finding("ok", "the contract describes the data, and the source has its columns")]


def _check_pipeline(contract: Contract, module: ModuleType) -> list[Finding]:
    """Build the unfitted pipeline, as the stage train does: names inside a function are looked up only when it runs."""
    from skline.stages.train import require_estimator_of_task

    try:
        require_estimator_of_task(module.build_pipeline(contract), contract)
    except SklineError as error:
        return [Finding("broken", str(error), f"correct it in {MODEL}")]
    except Exception as error:  # noqa: BLE001 (the user's own function may raise anything)
        message = f"build_pipeline() in {MODEL}/pipeline.py fails: {_one_line(error)}"
        return [Finding("broken", message, "correct it")]
    return []


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _check_data(contract: Contract) -> list[Finding]:
    """Check that the data were read with this contract."""
    if not paths.CONTRACT.is_file() or paths.CONTRACT.read_text(encoding="utf-8") == contract.to_json():
        return []
    return [Finding("warning", f"{MODEL}/contract.py has changed since the data were read", "uv run dvc repro")]


def _check_source(contract: Contract, settings: SourceSettings, source_module: ModuleType) -> list[Finding]:
    """Run the source's columns through ingest, without rows: it rejects a source that lacks a column."""
    from skline.contract.table import KINDS
    from skline.settings.source_kinds import kind_of
    from skline.sources.files import schema_of_first
    from skline.sources.kinds import install_command, missing_drivers
    from skline.sources.locate import PACKAGE
    from skline.stages.derived_columns import Columns
    from skline.stages.ingest import ingest

    kind = kind_of(settings.uri)
    if missing_drivers(kind):
        message = f"the source is {kind.title}, but its driver is not installed"
        return [Finding("broken", message, install_command(kind))]
    if "://" in settings.uri and not settings.uri.startswith(PACKAGE):
        return []  # a remote source is read only when the pipeline runs
    try:
        reads = {name: KINDS[kind] for name, kind in source_module.READS.items()}
        schema = schema_of_first(settings)
        requested = {*(column.name for column in contract.columns), *reads}
        empty = schema.empty_table().select([name for name in schema.names if name in requested])
        ingest(empty, Columns(schema.names, contract, reads, source_module.prepare, source=settings.uri))
    except SklineError as error:
        return [_describe_missing(settings.uri) or Finding("broken", str(error), CORRECT_SOURCE)]
    except Exception as error:  # noqa: BLE001 (the user's prepare() may fail on a table without rows)
        message = f"prepare() in {MODEL}/source.py fails on a table without rows, so the columns are not checked"
        return [Finding("warning", f"{message}: {_one_line(error)}", "make it work on whole columns")]
    return []


def _describe_missing(uri: str) -> Finding | None:
    """Return the finding on a missing table that DVC records; None if the source has another fault."""
    from skline.sources.locate import dvc_record

    record = dvc_record(uri)
    if record is None or glob.glob(uri):  # noqa: PTH207 - a pattern may be absolute
        return None
    otherwise = f"uv run dvc pull {record}" if has_remote() else "copy the table here"
    remedy = f"uv run dvc checkout {record}; if DVC's cache lacks it, {otherwise}"
    return Finding("broken", f"source.uri: there is no file {uri!r}, but {record} records it", remedy)
