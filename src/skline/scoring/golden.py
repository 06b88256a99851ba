"""Prove that a loaded pipeline still gives the golden rows the answers it gave when it was packaged."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json

from skline.artifact import Answers, Artifact, ArtifactRefused, Golden
from skline.contract.requests import Rows
from skline.contract.spec import Contract, Value
from skline.scoring.answers import Scores
from skline.scoring.equality import equal, joined, one_row
from skline.scoring.plan import Plan


def read_rows(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[dict[str, Value]]:
    """Validate JSON rows as the API does, and return their values."""
    return Rows(contract).read_many(to_json(list(rows)))


def answer(contract: Contract, pipeline: Any, rows: Sequence[dict[str, Any]]) -> Golden:
    """Score JSON rows together and write down the answers."""
    from skline.scoring.reference import score_with_pipeline

    scores = score_with_pipeline(pipeline, contract.inputs, read_rows(contract, rows))
    return Golden(rows=list(rows), **as_answers(scores).model_dump())


def answer_alone(contract: Contract, pipeline: Any, golden: Golden) -> Golden:
    """Add the answers to each row asked by itself."""
    from skline.scoring.reference import score_with_pipeline

    scores = [score_with_pipeline(pipeline, contract.inputs, [row]) for row in read_rows(contract, golden.rows)]
    return golden.model_copy(update={"alone": as_answers(joined(scores))})


def as_answers(scores: Scores) -> Answers:
    """Write scores as JSON can hold them; floats keep every bit."""
    probabilities = None if scores.probabilities is None else scores.probabilities.tolist()
    return Answers(predictions=scores.predictions.tolist(), probabilities=probabilities)


def as_scores(answers: Answers, like: Scores) -> Scores:
    """Read answers as arrays, with the dtypes of other scores."""
    return Scores(
        np.array(answers.predictions, dtype=like.predictions.dtype),
        None if answers.probabilities is None else np.array(answers.probabilities),
    )


def difference(artifact: Artifact, plan: Plan) -> str | None:
    """Answer the golden rows by a plan, one by one and together, and compare; neither needs the pipeline.

    Returns
    -------
    str or None
        What differs from the answers that the pipeline gave, in words; None if nothing does.
    """
    golden = artifact.golden
    rows = read_rows(artifact.contract, golden.rows)
    expected = golden.alone if plan.exactness == "ulp" else golden
    if expected is None:
        return "golden.json does not say what the pipeline answers to each row alone; package the artifact again"
    alone = joined([one_row(plan, row) for row in rows])
    if not equal(as_scores(expected, alone), alone, plan.exactness):
        return "the row plan differs from the pipeline on the golden rows"
    together = plan.score_rows(rows)
    if not equal(as_scores(expected, together), together, plan.exactness):
        return "the array plan differs from the pipeline on the golden rows"
    return None


def prove(artifact: Artifact, pipeline: Any) -> None:
    """Answer the golden rows again and compare.

    Raises
    ------
    ArtifactRefused
        Naming the first row whose answer differs in a bit.
    """
    if found := disagreement(artifact.contract, pipeline, artifact.golden):
        raise ArtifactRefused(
            f"{found}; the pipeline or the libraries differ from those it was packaged with "
            f"({artifact.manifest.libraries})"
        )


def disagreement(contract: Contract, pipeline: Any, golden: Golden) -> str | None:
    """Answer the golden rows together by a pipeline and compare.

    Returns
    -------
    str or None
        The first row whose answer differs in a bit, in words; None if none does.
    """
    again = answer(contract, pipeline, golden.rows)
    for index in range(len(golden.rows)):
        expected = (golden.predictions[index], golden.probabilities and golden.probabilities[index])
        found = (again.predictions[index], again.probabilities and again.probabilities[index])
        if expected != found:
            return f"golden row {index} gets {found}, must get {expected}"
    return None


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
