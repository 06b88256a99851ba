"""Write the artifact out of what the earlier stages made, and prove the stored plan on the golden rows.

The pipeline itself is copied, not loaded: evaluate read it from disk and proved it, in a process other than the one
that fitted it. So this stage needs no scikit-learn, and the same inputs give the same bytes.
"""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skline import artifact, card, paths
from skline.contract.spec import Column, Contract
from skline.errors import SklineError
from skline.files import read_contract, read_json, sha256, sha256_json, write_text
from skline.profile import profile
from skline.scoring import stored
from skline.scoring.golden import difference
from skline.settings import Settings

#: The card as a page of its own, in the artifact beside the Markdown.
CARD_PAGE = "model_card.html"


def draw(rows: pa.Table, n_rows: int, seed: int) -> pa.Table:
    """Draw rows without repetition; they stay in the order drawn, so that the first of them are a draw too."""
    drawn = np.random.default_rng(seed).permutation(rows.num_rows)[:n_rows]
    return rows.take(pa.array(drawn)).replace_schema_metadata(None)  # the metadata is of the whole table's index


def json_rows(rows: pa.Table, columns: tuple[Column, ...]) -> list[dict[str, Any]]:
    """Rows as a JSON client would send them: what `skline.contract.frames.to_json_rows` makes of a DataFrame."""
    cells = {column.name: [_plain(cell, column) for cell in rows[column.name].to_pylist()] for column in columns}
    return [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]


def _plain(cell: Any, column: Column) -> Any:
    """One stored cell as JSON: integers and booleans are floats where a column may have missing cells."""
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
        If the plan that was read back does not answer the golden rows as the pipeline did when it was fitted.
    """
    train = pq.read_table(paths.part("train"), columns=contract.input_names)
    reference = draw(train, settings.package.reference_rows, settings.train.seed)
    background = reference.slice(0, settings.package.background_rows)
    facts = read_json(paths.ORIGIN) | {
        "name": settings.project.name,
        "title": settings.project.title or settings.project.name,
        "task": contract.task,
        "contract_sha256": contract.digest(),
        "params_sha256": sha256_json(settings.model_dump(mode="json")),
        "data_sha256": {name: sha256(paths.part(name)) for name in ("train", "validation", "test")},
        "registered_model": settings.project.name,
        "metrics": read_json(paths.METRICS),
        "scoring": read_json(paths.CHOICE),
        "tuning": read_json(paths.TUNING),
    }
    about = card.sections(settings, contract, facts, read_json(paths.SPLIT_REPORT), read_json(paths.EVALUATION))
    files: dict[str, bytes | Callable[[Path], object]] = {
        artifact.PIPELINE: paths.MODEL.read_bytes(),
        artifact.CONTRACT: contract.to_json().encode(),
        artifact.PROFILE: _json(profile(train, contract)),
        artifact.BACKGROUND: _json(json_rows(background, contract.inputs)),
        artifact.REFERENCE: lambda path: pq.write_table(reference, path),
        artifact.GOLDEN: paths.GOLDEN.read_bytes(),
        artifact.CARD: card.markdown(facts["title"], about).encode(),
        CARD_PAGE: card.page(facts["title"], about).encode(),
    }
    if facts["scoring"]["path"] == "plan":
        files[artifact.PLAN] = paths.PLAN.read_bytes()
    packaged = artifact.Artifact.open(folder, artifact.write(folder, files, facts))
    if packaged.plan_bytes is not None and (found := difference(packaged, stored.load(packaged.plan_bytes))):
        raise SklineError(f"package: the stored plan is not what train proved: {found}; run `dvc repro -f train`")
    return packaged


def _json(value: Any) -> bytes:
    """Write JSON as bytes, refusing NaN."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def main() -> None:
    """Read the model, its plan and golden answers, the split and the metrics; write artifact/ and artifact.sha256."""
    packaged = package(paths.ARTIFACT, Settings.load(), read_contract(paths.CONTRACT))
    write_text(paths.ARTIFACT_DIGEST, packaged.digest + "\n")
    print(
        f"{packaged.version}: "
        + (
            f"the plan answers {len(packaged.golden.rows)} golden rows as the pipeline did"
            if packaged.plan_bytes is not None
            else "no plan; the pipeline was proved by evaluate"
        )
    )
