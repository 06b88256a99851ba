"""What is being served, and where it came from."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from serving.models import Models
from serving.trial import Trial
from skline.artifact import Manifest, Scoring

router = APIRouter(tags=["model"])


class Running(BaseModel):
    """The experiment that runs in this process."""

    name: str
    kind: str
    challenger: str = Field(description="Model version of the challenger")
    weight: int = Field(description="Its share of the entities now, of 10,000")
    aborted: str | None = Field(description="Why it is asked no longer, if it broke a guard")


class Info(BaseModel):
    """The model's version, its artifact's digest, how it answers here (once it is loaded), and the manifest."""

    model_version: str
    artifact_sha256: str
    scoring: Scoring | None
    refused: str | None = Field(description="Why the release or artifact that was found last is not served")
    release: int | None = Field(description="Number of the release in force")
    experiment: Running | None
    manifest: Manifest


@router.get("/info")
async def info(request: Request) -> Info:
    """Tell git commit, data, params and contract hashes, library versions and metrics."""
    models: Models = request.app.state.models
    artifact = models.artifact
    return Info(
        model_version=artifact.version,
        artifact_sha256=artifact.digest,
        scoring=None if models.current is None else models.current.scorer.scoring,
        refused=models.refused,
        release=None if models.release is None else models.release.number,
        experiment=None if models.trial is None else _running(models.trial),
        manifest=artifact.manifest,
    )


def _running(trial: Trial) -> Running:
    """Tell of an experiment."""
    return Running(
        name=trial.experiment.name,
        kind=trial.experiment.kind,
        challenger=trial.challenger.artifact.version,
        weight=trial.weight,
        aborted=trial.aborted,
    )
