"""Functions that score frames as a model does: by its exact plan, which is faster, or by its pipeline."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from skline.artifact import Artifact
from skline.contract.spec import Contract
from skline.scoring import plan_storage
from skline.scoring.scores import Scores, UnsupportedStep

ScoreFrame = Callable[[pd.DataFrame], Scores]


def fitted_scorer(pipeline: Any, contract: Contract) -> ScoreFrame:
    """Return a function that scores frames of the inputs as a fitted pipeline does."""
    from skline.scoring.planning import build_plan
    from skline.scoring.reference import score_frame

    try:
        plan = build_plan(pipeline, contract.inputs)
    except UnsupportedStep:
        return lambda frame: score_frame(pipeline, frame)
    return lambda frame: plan.score_columns({name: frame[name].to_numpy() for name in contract.input_names})


def artifact_scorer(artifact: Artifact) -> ScoreFrame:
    """Return a function that scores frames as an artifact does: by its stored plan, or by its pipeline."""
    names = artifact.contract.input_names
    if artifact.plan_bytes is not None:
        try:
            plan = plan_storage.load_plan(artifact.plan_bytes, artifact.manifest.libraries)
        except plan_storage.UnusablePlan:
            pass  # the pipeline gives the same scores as the plan
        else:
            return lambda frame: plan.score_columns({name: frame[name].to_numpy() for name in names})
    from skline.scoring.reference import score_frame

    pipeline = artifact.load_pipeline()
    return lambda frame: score_frame(pipeline, frame[names])
