"""Whether the process lives, and whether it can answer."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from serving.predictor import Predictor

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Whether predictions can be asked for, and if not, why."""

    ready: bool
    model_version: str
    reason: str | None = None


@router.get("/live")
async def live() -> Live:
    """Answer as long as the process does."""
    return Live(live=True)


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Say true once the artifact's hashes are verified and the golden rows were answered equal, to the last bit."""
    predictor: Predictor = request.app.state.predictor
    if predictor.ready:
        return Ready(ready=True, model_version=predictor.artifact.version)
    response.status_code = 503
    reason = predictor.refused or "the model is being loaded"
    return Ready(ready=False, model_version=predictor.artifact.version, reason=reason)
