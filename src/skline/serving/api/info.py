"""The model that is served, its release and its provenance."""

import datetime as dt

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from skline.artifact import Manifest, Scoring
from skline.clock import simulated_clock
from skline.serving.experiments.experiment import RunningExperiment
from skline.serving.releases.manager import ModelManager

router = APIRouter(tags=["model"])


class ExperimentInfo(BaseModel):
    """The experiment that runs in this process."""

    name: str
    kind: str
    challenger: str = Field(description="Model version of the challenger")
    weight: int = Field(description="The challenger's current share of the entities, out of 10,000")
    aborted: str | None = Field(description="The guard that the challenger broke; it gets no more requests")


class Info(BaseModel):
    """The model's version, its artifact's digest, its scoring path in this process (once loaded), and the manifest."""

    model_version: str
    artifact_sha256: str
    scoring: Scoring | None
    rejected: str | None = Field(description="Why the newest release or artifact is not served")
    release: int | None = Field(description="Number of the release that is served")
    experiment: ExperimentInfo | None
    simulated_time: dt.datetime | None = Field(
        description="The time of the replay that this service belongs to; null: its clock is the machine's"
    )
    manifest: Manifest


@router.get("/info")
async def info(request: Request) -> Info:
    """Return hashes of data, params, contract and engine, library versions and metrics."""
    models: ModelManager = request.app.state.container.models
    artifact, simulated = models.artifact, simulated_clock()
    return Info(
        model_version=artifact.version,
        artifact_sha256=artifact.digest,
        scoring=None if models.current is None else models.current.model.scorer.scoring,
        rejected=models.rejected_reason,
        release=None if models.release is None else models.release.number,
        experiment=None if models.experiment is None else _experiment_info(models.experiment),
        simulated_time=None if simulated is None else simulated.now(),
        manifest=artifact.manifest,
    )


def _experiment_info(experiment: RunningExperiment) -> ExperimentInfo:
    return ExperimentInfo(
        name=experiment.experiment.name,
        kind=experiment.experiment.kind,
        challenger=experiment.challenger.artifact.version,
        weight=experiment.weight,
        aborted=experiment.aborted,
    )
