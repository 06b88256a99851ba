"""Verify that a pipeline or a plan still gives the golden rows the predictions that were stored with them.

`python -m skline.scoring.golden_verification FOLDER DIGEST` verifies an artifact in a process of its own; with
`--plan-only` it verifies that the stored plan alone can serve it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic_core import to_json

from skline.artifact import Artifact, ExpectedPredictions, GoldenRows, InvalidArtifact
from skline.contract.request_validation import RowParser
from skline.contract.spec import Contract, Value
from skline.scoring import plan_storage
from skline.scoring.equality import MAX_ULPS, concatenate, score_single_row, scores_equal
from skline.scoring.plan import Plan
from skline.scoring.scores import Scores


def predict_golden_rows(contract: Contract, pipeline: Any, rows: Sequence[dict[str, Any]]) -> GoldenRows:
    """Score JSON rows as one batch, and return them with their predictions."""
    from skline.scoring.reference import score_with_pipeline

    scores = score_with_pipeline(pipeline, contract.inputs, parse_rows(contract, rows))
    return GoldenRows(rows=list(rows), **_to_expected(scores).model_dump())


def add_single_row_predictions(contract: Contract, pipeline: Any, golden: GoldenRows) -> GoldenRows:
    """Add the predictions that each row gets when it is scored alone."""
    from skline.scoring.reference import score_with_pipeline

    scores = [score_with_pipeline(pipeline, contract.inputs, [row]) for row in parse_rows(contract, golden.rows)]
    return golden.model_copy(update={"alone": _to_expected(concatenate(scores))})


def verify_golden_rows(artifact: Artifact, pipeline: Any) -> None:
    """Score the golden rows with the artifact's pipeline, and compare the predictions with the stored ones.

    Raises
    ------
    InvalidArtifact
        Naming the first row whose prediction differs by more than the golden rows' exactness allows.
    """
    if difference := compare_pipeline(artifact.contract, pipeline, artifact.golden):
        raise InvalidArtifact(
            f"{difference}; the pipeline or the libraries differ from those it was packaged with "
            f"({artifact.manifest.libraries})"
        )


def compare_pipeline(
    contract: Contract, pipeline: Any, golden: GoldenRows, exactness: Literal["bits", "ulp"] | None = None
) -> str | None:
    """Score the golden rows with a pipeline as one batch, and compare.

    Parameters
    ----------
    exactness : {"bits", "ulp"}, optional
        By default that of the golden rows.

    Returns
    -------
    str or None
        The first row whose prediction differs, as a message; None if none does. Numbers have the same bits, or are
        within a few units in the last place of each other where the exactness is "ulp".
    """
    from skline.scoring.reference import score_with_pipeline

    actual = score_with_pipeline(pipeline, contract.inputs, parse_rows(contract, golden.rows))
    expected, exactness = _from_expected(golden, actual), exactness or golden.exactness
    for index in range(len(golden.rows)):
        rows = slice(index, index + 1)
        if not scores_equal(expected[rows], actual[rows], exactness):
            within = f" within {MAX_ULPS} units in the last place" if exactness == "ulp" else ""
            return f"golden row {index} gets {actual.row(index)}, must get {expected.row(index)}{within}"
    return None


def compare_plan(artifact: Artifact, plan: Plan) -> str | None:
    """Score the golden rows with a plan, one by one and as a batch, and compare; the pipeline is not needed.

    Returns
    -------
    str or None
        What differs from the pipeline's stored predictions, as a message; None if nothing does.
    """
    golden = artifact.golden
    rows = parse_rows(artifact.contract, golden.rows)
    expected = golden.alone if plan.exactness == "ulp" else golden
    if expected is None:
        return "golden.json lacks the pipeline's predictions for single rows; package the artifact again"
    one_by_one = concatenate([score_single_row(plan, row) for row in rows])
    if not scores_equal(_from_expected(expected, one_by_one), one_by_one, plan.exactness):
        return "the row plan differs from the pipeline on the golden rows"
    batch = plan.score_rows(rows)
    if not scores_equal(_from_expected(expected, batch), batch, plan.exactness):
        return "the array plan differs from the pipeline on the golden rows"
    return None


def load_stored_plan(artifact: Artifact) -> tuple[Plan | None, str]:
    """Load the artifact's stored plan, and verify it on the golden rows.

    Returns
    -------
    plan : Plan or None
    problem : str
        Why the plan is not used; empty if it is.
    """
    if artifact.plan_bytes is None:
        reason = artifact.manifest.scoring.reason
        return None, "the artifact holds none" if reason is None else f"the artifact holds none ({reason})"
    try:
        plan = plan_storage.load_plan(artifact.plan_bytes, artifact.manifest.libraries)
        problem = compare_plan(artifact, plan)
    except plan_storage.UnusablePlan as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 (whatever goes wrong in a stored plan, the pipeline can still serve)
        return None, f"it fails on the golden rows with {type(error).__name__}: {error}"
    return (plan, "") if problem is None else (None, problem)


def verify_plan_alone(artifact: Artifact) -> None:
    """Verify that the stored plan serves the artifact where there is no scikit-learn, pandas or SciPy.

    Raises
    ------
    InvalidArtifact
        Naming why the artifact needs one of them.
    """
    plan, problem = load_stored_plan(artifact)
    required = plan_storage.required_libraries(artifact.plan_bytes or b"")
    others = [name for name in required if name not in plan_storage.ALWAYS_PRESENT]
    if others:
        problem = f"it holds objects of {', '.join(others)}"
    if plan is None or others:
        raise InvalidArtifact(
            f"{artifact.version} cannot be served by its stored plan alone: {problem}. The image of the target `plan` "
            "serves nothing else: build the target `full`"
        )


def parse_rows(contract: Contract, rows: Sequence[dict[str, Any]]) -> list[dict[str, Value]]:
    """Validate JSON rows as the API does, and return their values."""
    return RowParser(contract).parse_rows(to_json(list(rows)))


def _to_expected(scores: Scores) -> ExpectedPredictions:
    """Convert scores to JSON values; floats keep every bit."""
    probabilities = None if scores.probabilities is None else scores.probabilities.tolist()
    return ExpectedPredictions(predictions=scores.predictions.tolist(), probabilities=probabilities)


def _from_expected(expected: ExpectedPredictions, like: Scores) -> Scores:
    """Convert JSON values to arrays, with the dtypes of other scores."""
    return Scores(
        np.array(expected.predictions, dtype=like.predictions.dtype),
        None if expected.probabilities is None else np.array(expected.probabilities),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Verify the artifact that the arguments name: open it, load its pipeline or its plan, score its golden rows."""
    parser = argparse.ArgumentParser(prog="python -m skline.scoring.golden_verification")
    parser.add_argument("folder", type=Path)
    parser.add_argument("digest", help="sha256 of the manifest")
    parser.add_argument("--plan-only", action="store_true", help="verify that the stored plan alone can serve it")
    given = parser.parse_args(arguments)
    artifact = Artifact.open(given.folder, given.digest)
    if given.plan_only:
        verify_plan_alone(artifact)
    else:
        verify_golden_rows(artifact, artifact.load_pipeline())
    print(f"{artifact.version}: {len(artifact.golden.rows)} golden rows equal")


if __name__ == "__main__":
    from skline.entrypoint import run_main

    run_main(main)
