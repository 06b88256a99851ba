"""Whether the process lives, and whether it can answer."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from serving.models import Models

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
    models: Models = request.app.state.models
    reason = models.unready
    if reason is not None:
        response.status_code = 503
    return Ready(ready=reason is None, model_version=models.artifact.version, reason=reason)
