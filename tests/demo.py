"""A small world for tests: a sample of the real flights, taken through the stages' pure functions."""

import io
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa

from skline import artifact
from skline.contract.derive import derive_module
from skline.contract.spec import Contract
from skline.contract.table import KINDS
from skline.origin import library_versions
from skline.profile import profile
from skline.scoring import scorer, stored
from skline.scoring.choose import golden_rows
from skline.scoring.golden import answer, answer_alone, read_rows
from skline.settings import Settings
from skline.settings_source import Source
from skline.stages.ingest import ingest, read
from skline.stages.split import split
from skline.stages.train import train
from skline.stages.validate import validate
from tests.world import contract as declared
from tests.world.pipeline import build_pipeline
from tests.world.source import READS, prepare

ROOT = Path(__file__).parent.parent
WORLD = Path(__file__).parent / "world"
PARAMS = WORLD / "params.yaml"
FLIGHTS = WORLD / "flights.csv.gz"


@cache
def contract() -> Contract:
    return derive_module(declared)


@cache
def source_table() -> tuple[Any, list[str]]:
    """The flights as text, and the source's column names."""
    reads = [*(column.name for column in contract().columns), *READS]
    table, columns, _ = read(Source(uri=str(FLIGHTS)), reads)
    return table, columns


@cache
def raw() -> pd.DataFrame:
    table, columns = source_table()
    reads = {name: KINDS[kind] for name, kind in READS.items()}
    return ingest(table, columns, contract(), reads, prepare).table


def no_failures() -> pd.DataFrame:
    return pd.DataFrame({"row": [], "column": [], "value": [], "rule": []}).astype({"row": "int64"})


@cache
def parts() -> dict[str, pd.DataFrame]:
    rows = validate(raw(), no_failures(), declared.Labelled, contract()).accepted
    return split(rows, contract(), Settings.load(PARAMS).split)


@cache
def pipeline() -> Any:
    return train(parts()["train"], contract(), build_pipeline, {"model__max_iter": 20}, seed=17)


@dataclass(frozen=True)
class Packaged:
    folder: Path
    digest: str


def package(
    folder: Path,
    fitted: Any = None,
    described: Contract | None = None,
    rows: Any = None,
    background: Any = None,
    tuning: Any = None,
) -> Packaged:
    """Write an artifact of the small world's pipeline, or of another; its golden rows are its background."""
    described = described or contract()
    fitted = fitted if fitted is not None else pipeline()
    rows = rows if rows is not None else golden_rows(parts()["train"], parts()["test"], described, 20, seed=17)
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer)
    golden = answer(described, fitted, rows)
    choice, plan = scorer.prepare(fitted, described.inputs, read_rows(described, rows))
    if choice.exactness == "ulp":
        golden = answer_alone(described, fitted, golden)
    facts = {
        "name": "demo",
        "title": "Demo",
        "task": described.task,
        "created_at": "2026-01-01T00:00:00+00:00",
        "contract_sha256": described.digest(),
        "params_sha256": "0" * 64,
        "data_sha256": {"train": "0" * 64},
        "git_commit": None,
        "git_dirty": None,
        "registered_model": "demo",
        "libraries": library_versions(),
        "metrics": {"rows": 1},
        "scoring": asdict(choice),
        "tuning": tuning,
    }
    files = {
        artifact.PIPELINE: buffer.getvalue(),
        artifact.BACKGROUND: json.dumps(rows if background is None else background).encode(),
        artifact.CONTRACT: described.to_json().encode(),
        artifact.GOLDEN: golden.model_dump_json().encode(),
        artifact.CARD: b"# Demo\n",
    }
    if fitted is pipeline():
        files[artifact.PROFILE] = json.dumps(profile(pa.Table.from_pandas(parts()["train"]), described)).encode()
    if plan is not None:
        files[artifact.PLAN] = stored.dump(plan)
    return Packaged(folder, artifact.write(folder, files, facts))
