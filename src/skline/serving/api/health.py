"""Liveness and readiness."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from skline.serving.releases.manager import ModelManager

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process is running."""

    live: bool


class Ready(BaseModel):
    """Whether the service can predict, and if not, why."""

    ready: bool
    model_version: str
    reason: str | None = None
    rejected: str | None = Field(default=None, description="Why the newest release or artifact is not served")


@router.get("/live")
async def live() -> Live:
    """Return 200 as long as the process is running."""
    return Live(live=True)


@router.get("/ready", responses={503: {"model": Ready}})
async def ready(request: Request, response: Response) -> Ready:
    """Return 200 once the artifact's hashes are verified and the golden rows get their predictions."""
    models: ModelManager = request.app.state.container.models
    reason = models.not_ready_reason
    if reason is not None:
        response.status_code = 503
    return Ready(
        ready=reason is None, model_version=models.artifact.version, reason=reason, rejected=models.rejected_reason
    )
