"""The workload of every server: a fitted pipeline, the rows of the requests, and the expected probabilities."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from benchmarks.apps.clip import ClipToSeen
from skline import artifact
from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.scoring import plan_storage
from skline.scoring.golden_verification import parse_rows, predict_golden_rows
from skline.scoring.planning import choose_scoring

Row = dict[str, Any]
BATCH_ROWS = 1000
#: Different one-row requests, sent in turn, so that no server gains from caching one response.
DISTINCT_ROWS = 256


@dataclass(frozen=True)
class Workload:
    """One pipeline, packaged as an artifact for our server and as plain files in `folder` for the others.

    `probabilities` are those of the fitted pipeline for `rows`: float64 of shape (BATCH_ROWS, n_classes).
    """

    name: str
    folder: Path
    artifact: Path
    digest: str
    contract: Contract
    rows: list[Row]
    probabilities: npt.NDArray[np.float64]


def prepare(root: Path, cache: Path) -> dict[str, Workload]:
    """Write the workloads "demo" and "custom" below `cache` and return them by name.

    "demo" is the project's artifact with rows of its test part. "custom" is the same pipeline behind a
    transformer that no plan supports.

    Raises
    ------
    SklineError
        If the artifact or the test part is missing, or does not suit this benchmark.
    """
    test = root / "data" / "split" / "test.parquet"
    if not test.is_file():
        raise SklineError("data/split/test.parquet is missing; run `uv run dvc repro` to make it and the artifact")
    digest = artifact.read_digest(root / "artifact.sha256")
    packaged = Artifact.open(root / "artifact", digest)
    if packaged.plan_bytes is not None:
        try:
            plan_storage.load_plan(packaged.plan_bytes, packaged.manifest.libraries)
        except plan_storage.UnusablePlan as error:
            raise SklineError(
                f"{error}; run `uv run dvc repro`, or the benchmark measures a service that plans anew"
            ) from None
    if packaged.contract.classes is None:
        raise SklineError("the artifact holds a regressor; this benchmark compares the probabilities of a classifier")
    frame = pd.read_parquet(test, columns=packaged.contract.input_names)
    if len(frame) < BATCH_ROWS:
        raise SklineError(f"data/split/test.parquet has {len(frame)} rows, a batch needs {BATCH_ROWS}")
    frame = frame.sample(BATCH_ROWS, random_state=0).reset_index(drop=True)
    pipeline = packaged.load_pipeline()
    custom = Pipeline([("clip", ClipToSeen().fit(frame)), *pipeline.steps])
    repackaged = cache / "custom" / "artifact"
    return {
        "demo": _write("demo", cache, pipeline, packaged.contract, frame, root / "artifact", digest),
        "custom": _write(
            "custom", cache, custom, packaged.contract, frame, repackaged, package(packaged, custom, repackaged)
        ),
    }


def package(packaged: Artifact, pipeline: Pipeline, folder: Path) -> str:
    """Write an artifact like `packaged` around another pipeline; return its digest."""
    contract, rows = packaged.contract, packaged.golden.rows
    golden = predict_golden_rows(contract, pipeline, rows)
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: lambda path: joblib.dump(pipeline, path),
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.GOLDEN: golden.model_dump_json().encode(),
        artifact.CARD: packaged.card.encode(),
    }
    metadata = packaged.manifest.model_dump(exclude={"format", "files"})
    choice = choose_scoring(pipeline, contract.inputs, parse_rows(contract, rows))[0]
    metadata["scoring"] = {"path": choice.path, "exactness": choice.exactness, "reason": choice.reason}
    if choice.path != "pipeline":
        raise SklineError("the custom transformer is planned, but this benchmark needs one that no plan supports")
    return artifact.write(folder, files, metadata)


def _write(
    name: str, cache: Path, pipeline: Pipeline, contract: Contract, frame: pd.DataFrame, source: Path, digest: str
) -> Workload:
    """Write the files that the alternatives read."""
    folder = (cache / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = to_json_rows(contract.inputs, frame)
    probabilities = pipeline.predict_proba(frame)
    columns = [{"name": c.name, "kind": c.kind, "nullable": c.nullable, "storage": c.storage} for c in contract.inputs]
    constant = {
        "prediction": pipeline.predict(frame[:1]).tolist()[0],
        "probabilities": dict(zip(labels(contract), probabilities[0].tolist(), strict=True)),
        "model_version": f"flights@{digest[:12]}",
        "prediction_id": "0190a5b2c3d4e5f60718293a4b5c6d7e",
    }
    joblib.dump(pipeline, folder / "pipeline.joblib")
    (folder / "contract.json").write_text(contract.to_json())
    (folder / "columns.json").write_text(json.dumps(columns))
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "constant.json").write_text(json.dumps(constant))
    return Workload(name, folder, source.resolve(), digest, contract, rows, probabilities)


def labels(contract: Contract) -> list[str]:
    """Return the classes as keys of a JSON object, in the order of the pipeline's probabilities."""
    return contract.class_names or []
