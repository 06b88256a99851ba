"""What every server is asked: a fitted pipeline, the rows of the requests, and the answers they must get."""

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
from skline.scoring import stored
from skline.scoring.golden import answer, read_rows
from skline.scoring.scorer import choose

Row = dict[str, Any]
BATCH_ROWS = 1000
#: Different one-row requests; they take turns, so that no server can live on one remembered answer.
DISTINCT_ROWS = 256


@dataclass(frozen=True)
class Workload:
    """One pipeline, packaged as an artifact for our server and as plain files in `folder` for the others.

    `probabilities` is float64 of shape (BATCH_ROWS, n_classes): the fitted pipeline's own, for `rows`.
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
    transformer that no plan can know.

    Raises
    ------
    SklineError
        If the artifact or the test part is missing, or is not for this benchmark.
    """
    test = root / "data" / "split" / "test.parquet"
    if not test.is_file():
        raise SklineError("data/split/test.parquet is missing; run `uv run dvc repro` to make it and the artifact")
    digest = artifact.read_digest(root / "artifact.sha256")
    packaged = Artifact.open(root / "artifact", digest)
    if packaged.plan_bytes is not None:
        try:
            stored.load(packaged.plan_bytes)
        except stored.PlanOutdated as error:
            raise SklineError(
                f"{error}; run `uv run dvc repro`, or what is measured is a service that plans anew"
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
    golden = answer(contract, pipeline, rows)
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: lambda path: joblib.dump(pipeline, path),
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.GOLDEN: golden.model_dump_json().encode(),
        artifact.CARD: packaged.card.encode(),
    }
    facts = packaged.manifest.model_dump(exclude={"format", "files"})
    choice = choose(pipeline, contract.inputs, read_rows(contract, rows))
    facts["scoring"] = {"path": choice.path, "exactness": choice.exactness, "reason": choice.reason}
    if choice.path != "pipeline":
        raise SklineError("the custom transformer was planned; this benchmark needs one that cannot be")
    return artifact.write(folder, files, facts)


def _write(
    name: str, cache: Path, pipeline: Pipeline, contract: Contract, frame: pd.DataFrame, source: Path, digest: str
) -> Workload:
    """Write what the alternatives read."""
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
    """The classes as keys of a JSON object, in the order of the pipeline's probabilities."""
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in contract.classes or ()]
