"""What is being served, and where it came from."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from serving.models import Models
from skline.artifact import Manifest, Scoring

router = APIRouter(tags=["model"])


class Info(BaseModel):
    """The model's version, its artifact's digest, how it answers here (once it is loaded), and the manifest."""

    model_version: str
    artifact_sha256: str
    scoring: Scoring | None
    refused: str | None = Field(description="Why the artifact that was found last is not served")
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
        manifest=artifact.manifest,
    )
