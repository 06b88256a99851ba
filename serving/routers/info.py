"""What is being served, and where it came from."""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from serving.predictor import Predictor
from skline.artifact import Manifest, Scoring

router = APIRouter(tags=["model"])


class Info(BaseModel):
    """The model's version, its artifact's digest, how it answers here (once it is loaded), and the manifest."""

    model_version: str
    artifact_sha256: str
    scoring: Scoring | None
    manifest: Manifest


@router.get("/info")
async def info(request: Request) -> Info:
    """Tell git commit, data, params and contract hashes, library versions and metrics."""
    predictor: Predictor = request.app.state.predictor
    artifact = predictor.artifact
    return Info(
        model_version=artifact.version,
        artifact_sha256=artifact.digest,
        scoring=predictor.scoring,
        manifest=artifact.manifest,
    )
