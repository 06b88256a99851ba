"""Load an artifact's scorer: its stored plan if that is verified here, else a plan built again, else its pipeline."""

import logging
from typing import Any

from skline.artifact import Artifact, InvalidArtifact, Scoring
from skline.artifact.provenance import LIBRARIES, installed_version
from skline.scoring import golden_verification
from skline.scoring.plan import Plan

log = logging.getLogger("skline.scoring")


def load_plan_or_pipeline(artifact: Artifact) -> tuple[Plan | Any, Scoring]:
    """Load the artifact's plan or its pipeline, and verify it on the golden rows.

    The stored plan needs neither scikit-learn nor the pipeline. If it cannot be read or its predictions differ, the
    pipeline is loaded, which takes seconds, and its plan is built again.

    Returns
    -------
    scorer : Plan, or the fitted pipeline where no plan is verified
    scoring : Scoring
        Which of the two it is, how exact its results are, and why it is not the stored plan.

    Raises
    ------
    InvalidArtifact
        If the pipeline cannot be loaded, or its predictions for the golden rows differ from the stored ones.
    """
    scoring = artifact.manifest.scoring
    plan, problem = golden_verification.load_stored_plan(artifact)
    if plan is not None:
        return plan, scoring
    if artifact.plan_bytes is not None:
        log.warning("%s: the stored plan is not used: %s", artifact.version, problem)
    _require_libraries(artifact, problem)
    pipeline = artifact.load_pipeline()
    golden_verification.verify_golden_rows(artifact, pipeline)
    if scoring.path != "plan":
        return pipeline, scoring
    from skline.scoring.planning import choose_scoring

    rows = golden_verification.parse_rows(artifact.contract, artifact.golden.rows)
    choice, plan = choose_scoring(pipeline, artifact.contract.inputs, rows)
    explanation = f"the stored plan is not used: {problem}"
    if plan is not None:
        log.info("%s: the plan was built again from the pipeline", artifact.version)
        reason = f"{explanation}; this plan was built again from the pipeline"
        return plan, Scoring(path="plan", exactness=choice.exactness, reason=reason)
    log.warning("%s: no plan is used, the pipeline itself scores: %s", artifact.version, choice.reason)
    return pipeline, Scoring(
        path="pipeline", exactness=artifact.golden.exactness, reason=f"{explanation}; {choice.reason}"
    )


def _require_libraries(artifact: Artifact, problem: str) -> None:
    """Raise InvalidArtifact, with the reason why the stored plan is not used, where no pipeline can be loaded."""
    if missing := [name for name in LIBRARIES if installed_version(name) is None]:
        raise InvalidArtifact(
            f"{artifact.version} cannot be served here: its stored plan is not used, because {problem}; its pipeline "
            f"needs {', '.join(missing)}, which the image of the target `plan` lacks. Use the image of the target "
            "`full`"
        )
