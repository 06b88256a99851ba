"""Prove that a loaded pipeline still gives the golden rows the answers it gave when it was packaged."""

from collections.abc import Sequence
from typing import Any

from skline.artifact import Artifact, ArtifactRefused, Golden
from skline.contract.frames import to_frame
from skline.contract.requests import row_model, values_of
from skline.contract.spec import Contract, Value
from skline.scoring.answers import Scores
from skline.scoring.reference import score_frame


def read_rows(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[dict[str, Value]]:
    """Validate JSON rows as the API does, and return their values."""
    import json

    model, names = row_model(contract), contract.input_names
    return [values_of(model.__pydantic_validator__.validate_json(json.dumps(row)), names) for row in rows]


def answer(contract: Contract, pipeline: Any, rows: Sequence[dict[str, Any]]) -> Golden:
    """Score JSON rows and write down the answers."""
    scores = score_frame(pipeline, to_frame(contract.inputs, read_rows(contract, rows)))
    return as_golden(rows, scores)


def as_golden(rows: Sequence[dict[str, Any]], scores: Scores) -> Golden:
    """Write scores as JSON can hold them; floats keep every bit."""
    probabilities = None if scores.probabilities is None else scores.probabilities.tolist()
    return Golden(rows=list(rows), predictions=scores.predictions.tolist(), probabilities=probabilities)


def prove(artifact: Artifact, pipeline: Any) -> None:
    """Answer the golden rows again and compare.

    Raises
    ------
    ArtifactRefused
        Naming the first row whose answer differs in a bit.
    """
    golden = artifact.golden
    again = answer(artifact.contract, pipeline, golden.rows)
    for index, row in enumerate(golden.rows):
        expected = (golden.predictions[index], golden.probabilities and golden.probabilities[index])
        found = (again.predictions[index], again.probabilities and again.probabilities[index])
        if expected != found:
            raise ArtifactRefused(
                f"golden row {index} gets {found}, must get {expected}; the pipeline or the libraries differ from "
                f"those it was packaged with ({artifact.manifest.libraries}): {row}"
            )


def main() -> None:
    """Verify the artifact given as FOLDER DIGEST, load it in this process, and prove it."""
    import sys
    from pathlib import Path

    folder, digest = sys.argv[1:]
    artifact = Artifact.open(Path(folder), digest)
    prove(artifact, artifact.load_pipeline())
    print(f"{artifact.version}: {len(artifact.golden.rows)} golden rows equal")


if __name__ == "__main__":
    from skline.process import run

    run(main)
