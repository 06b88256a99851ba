"""What routes take out of a request. Plain calls: resolving them as dependencies costs more than a prediction."""

from fastapi import Request

from serving.errors import RequestRefused
from serving.predictor import Predictor
from serving.settings import ServiceSettings


def any_predictor(request: Request) -> Predictor:
    """Return the predictor, ready or not."""
    predictor: Predictor = request.app.state.predictor
    return predictor


def ready_predictor(request: Request) -> Predictor:
    """Return the predictor; 503 until it is ready."""
    predictor = any_predictor(request)
    if not predictor.ready:
        raise RequestRefused(503, "the model is not loaded; see /health/ready", "not_ready")
    return predictor


async def read_body(request: Request) -> bytes:
    """Read the request's body, but not beyond the limit: 413 then, and 422 for an empty one."""
    settings: ServiceSettings = request.app.state.settings
    limit = settings.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise _too_large(limit)
    if not content:
        raise RequestRefused(422, "the body is empty; send JSON as /docs shows it", "body_missing")
    return bytes(content)


def _too_large(limit: int) -> RequestRefused:
    """Say the limit."""
    return RequestRefused(413, f"the body is larger than {limit} bytes; send a smaller batch", "body_too_large")
