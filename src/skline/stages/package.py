"""Write the candidate, an artifact, from the outputs of the earlier stages, and verify its plan on the golden rows.

The pipeline is copied, not loaded: the stage evaluate has read it from disk and verified it in another process than the
one that fitted it. This stage therefore needs no scikit-learn, and the same inputs give the same bytes.
"""

import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skline import artifact, paths
from skline.artifact import model_card
from skline.artifact.data_profile import profile_file
from skline.artifact.evaluation import select_results
from skline.batches import count_rows, read_batches
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.files import read_json, sha256, sha256_json, write_text
from skline.scoring.golden_verification import compare_plan
from skline.scoring.plan_storage import load_plan
from skline.settings import Settings
from skline.split_rule import PartitionRule, Split

#: The model card as HTML, in addition to the Markdown.
CARD_PAGE = "model_card.html"


def sample_rows(rows: pa.Table, n_rows: int, seed: int) -> pa.Table:
    """Draw rows without replacement, in random order, so that the first of them are a random sample too."""
    positions = np.random.default_rng(seed).permutation(rows.num_rows)[:n_rows]
    return rows.take(pa.array(positions)).replace_schema_metadata(None)  # pandas' metadata describes the whole index


def sample_file(path: Path, columns: Sequence[str], n_rows: int, seed: int) -> pa.Table:
    """Return `sample_rows` of a Parquet file, which is read in batches."""
    positions = np.random.default_rng(seed).permutation(count_rows(path))[:n_rows]
    order, first_row, found = np.argsort(positions), 0, []
    ascending = positions[order]
    for batch in read_batches(path, columns):
        start, stop = np.searchsorted(ascending, [first_row, first_row + batch.num_rows])
        found.append(batch.take(pa.array(ascending[start:stop] - first_row)))
        first_row += batch.num_rows
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return pa.Table.from_batches(found).take(pa.array(places)).replace_schema_metadata(None)


def json_rows(rows: pa.Table, columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """Return rows as a JSON client sends them; equal to `skline.contract.frames.to_json_rows` of a DataFrame."""
    cells = {column.name: [_json_value(cell, column) for cell in rows[column.name].to_pylist()] for column in columns}
    return [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]


def _json_value(cell: Any, column: Column) -> Any:
    """Return a stored cell as JSON; integers and booleans are stored as floats where cells may be missing."""
    if cell is None or cell != cell:  # noqa: PLR0124 (NaN)
        return None
    match column.kind:
        case "integer":
            return int(cell)
        case "boolean":
            return bool(cell)
        case "date":
            return (cell.date() if isinstance(cell, dt.datetime) else cell).isoformat()
        case "datetime":
            return cell.isoformat()
        case _:
            return cell


def package(folder: Path, settings: Settings, contract: Contract) -> artifact.Artifact:
    """Write the artifact into `folder` and read it back.

    Raises
    ------
    SklineError
        If the plan that was read back does not predict for the golden rows as the pipeline did when it was fitted.
    """
    train = paths.part("train")
    reference = sample_file(train, contract.input_names, settings.package.reference_rows, settings.train.seed)
    background = reference.slice(0, settings.package.background_rows)
    details = read_json(paths.EVALUATION)
    metadata = read_json(paths.ORIGIN) | {
        "name": settings.project.name,
        "title": settings.project.title or settings.project.name,
        "task": contract.task,
        "contract_sha256": contract.digest(),
        "params_sha256": sha256_json(settings.model_dump(mode="json", exclude={"monitor", "engine"})),
        "data_sha256": {name: sha256(paths.part(name)) for name in ("train", "validation", "test")},
        "registered_model": settings.project.name,
        "metrics": read_json(paths.METRICS),
        "metric_descriptions": details.get("descriptions", {}),
        "scoring": read_json(paths.CHOICE),
        "tuning": read_json(paths.TUNING),
        "partition": partition_rule(settings.split, contract),
    }
    card = model_card.sections(settings, contract, metadata, read_json(paths.SPLIT_REPORT), details)
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: paths.MODEL.read_bytes(),
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.PROFILE: _json(profile_file(train, contract)),
        artifact.BACKGROUND: _json(json_rows(background, contract.inputs)),
        artifact.EVALUATION: _json(select_results(metadata["metrics"], details)),
        artifact.REFERENCE: lambda path: pq.write_table(reference, path),
        artifact.GOLDEN: paths.GOLDEN.read_bytes(),
        artifact.CARD: model_card.markdown(metadata["title"], card).encode(),
        CARD_PAGE: model_card.page(metadata["title"], card).encode(),
    }
    if metadata["scoring"]["path"] == "plan":
        files[artifact.PLAN] = paths.PLAN.read_bytes()
    packaged = artifact.Artifact.open(folder, artifact.write(folder, files, metadata))
    if packaged.plan_bytes is None:
        return packaged
    plan = load_plan(packaged.plan_bytes, packaged.manifest.libraries)
    if mismatch := compare_plan(packaged, plan):
        raise SklineError(
            f"package: the stored plan does not predict as the pipeline did in tune: {mismatch}; "
            "run `dvc repro -sf tune`, then `dvc repro`"
        )
    return packaged


def partition_rule(split: Split, contract: Contract) -> PartitionRule:
    """Return the rule that the artifact stores, with the dates of cuts that move, from the times of the parts."""
    if not split.moves:
        return PartitionRule(split=split)
    time = contract.by_role("time").name
    files = (paths.part(name) for name in ("train", "validation", "test"))
    newest = (pc.max(batch[time]).as_py() for path in files for batch in read_batches(path, [time]))
    return PartitionRule(split=split.resolved(max(moment for moment in newest if moment is not None)))


def _json(value: Any) -> bytes:
    """Return JSON as bytes; ValueError for NaN."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def main() -> None:
    """Read models/, the split and the reports; write the candidate and its digest."""
    packaged = package(paths.CANDIDATE, Settings.load(), Contract.read(paths.CONTRACT))
    write_text(paths.CANDIDATE_DIGEST, packaged.digest + "\n")
    print(
        f"{packaged.version}: "
        + (
            f"the plan predicts for {len(packaged.golden.rows)} golden rows as the pipeline did"
            if packaged.plan_bytes is not None
            else "no plan; the stage evaluate verified the pipeline"
        )
    )
