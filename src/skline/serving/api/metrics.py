"""Metrics for Prometheus; docs/metrics.md lists them."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    container = request.app.state.container
    await container.monitor_state.refresh()
    return Response(generate_latest(container.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
