"""An artifact's scorer: its stored plan if that is proved here, else what its pipeline gives."""

import logging
from typing import Any

from skline.artifact import Artifact, Scoring
from skline.scoring import golden, stored
from skline.scoring.plan import Plan

log = logging.getLogger("skline.scoring")


def load(artifact: Artifact) -> tuple[Plan | Any, Scoring]:
    """Make the artifact's plan, or load its pipeline; either is proved on the golden rows.

    The stored plan needs neither scikit-learn nor the pipeline. Where there is none that is proved, the pipeline
    is loaded, which takes seconds.

    Returns
    -------
    scorer : Plan, or the fitted pipeline where no plan is proved
    scoring : Scoring
        Which of the two it is, how exact its answers are, and why it is not the plan.

    Raises
    ------
    ArtifactRefused
        If the pipeline cannot be loaded, or answers the golden rows otherwise than when it was packaged.
    """
    scoring = artifact.manifest.scoring
    refused = None
    if artifact.plan_bytes is not None:
        try:
            plan = stored.load(artifact.plan_bytes)
        except stored.PlanOutdated as error:
            refused = str(error)
        else:
            refused = golden.difference(artifact, plan)
            if refused is None:
                return plan, scoring
    if refused is not None:
        log.warning("the stored plan is not used: %s", refused)
    pipeline = artifact.load_pipeline()
    golden.prove(artifact, pipeline)
    if scoring.path == "plan":
        from skline.scoring.scorer import prepare

        rows = golden.read_rows(artifact.contract, artifact.golden.rows)
        choice, new = prepare(pipeline, artifact.contract.inputs, rows)
        if new is not None:
            log.info("the plan was read out of the pipeline again")
            return new, scoring
        log.warning("no plan is used, the pipeline answers instead: %s", choice.reason)
        scoring = Scoring(path="pipeline", exactness="bits", reason=choice.reason)
    return pipeline, scoring
