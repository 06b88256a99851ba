"""What routes need, as annotated types. All async: FastAPI would send a plain function through a thread."""

from typing import Annotated

from fastapi import Depends, Request

from serving.errors import RequestRefused
from serving.predictor import Predictor
from serving.settings import ServiceSettings


async def any_predictor(request: Request) -> Predictor:
    """Return the predictor, ready or not."""
    predictor: Predictor = request.app.state.predictor
    return predictor


async def ready_predictor(request: Request) -> Predictor:
    """Return the predictor; 503 until it is ready."""
    predictor = await any_predictor(request)
    if not predictor.ready:
        raise RequestRefused(503, "the model is not loaded; see /health/ready", "not_ready")
    return predictor


async def body(request: Request) -> bytes:
    """Read the request's body, but not beyond the limit: 413 then, and 422 for an empty one."""
    settings: ServiceSettings = request.app.state.settings
    limit = settings.max_body_bytes
    too_large = RequestRefused(413, f"the body is larger than {limit} bytes; send a smaller batch", "body_too_large")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise too_large
    if not content:
        raise RequestRefused(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    return bytes(content)


AnyPredictor = Annotated[Predictor, Depends(any_predictor)]
ReadyPredictor = Annotated[Predictor, Depends(ready_predictor)]
Body = Annotated[bytes, Depends(body)]
