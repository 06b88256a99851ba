"""Put the service together. Nothing here or below imports training, MLflow, DVC or pandera."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving import connections, errors, wanted
from serving.bodies import SMALL
from serving.connections import Connections
from serving.counts import counts
from serving.drain import before_end
from serving.metrics import Metrics
from serving.models import Models
from serving.openapi import describe_guard
from serving.predictor import Predictor
from serving.protocol_service import ProtocolService
from serving.protocols import mlflow_routes, v2_routes
from serving.room import Room
from serving.routers import health, info, labels, metrics, page, predict, review
from serving.security.guard import Guard
from serving.security.limits import Slots
from serving.security.middleware import Guarded
from serving.security.permissions import Permissions
from serving.service import Service
from serving.settings import ServiceSettings
from serving.workers import end_with_parent, is_worker
from skline.logs.labels import Labels
from skline.logs.writer import PredictionLog


def create_app(settings: ServiceSettings | None = None) -> Service:
    """Build the application around the release, or the artifact, that the settings name.

    The artifact's hashes are verified here; the model is loaded in the background once the server
    runs, and /health/ready says when it has answered its golden rows.

    Raises
    ------
    SklineError
        If the artifact is not what its digest promises, or the settings cannot work.
    """
    # Read when scikit-learn is loaded: for one row more threads cost more than they save.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = settings or ServiceSettings()
    artifact, release = wanted.first(settings)
    app = FastAPIOffline(
        title=artifact.manifest.title,
        version=artifact.version,
        description=artifact.contract.description,
        redoc_url=None,
        lifespan=_lifespan,
    )
    guard = Guard(settings.security, settings.limits, settings.cors, settings.logging)
    permissions = Permissions(
        settings.security, development=settings.environment == "development", more_open=("/page",)
    )
    slots, measured = Slots(settings.limits), Metrics()
    guarded = Guarded(app, guard, permissions, slots, tls=settings.security.tls)
    service = Service(app, measured, guarded)
    written = PredictionLog(settings.log)
    models = Models(artifact, release, settings, measured, written)
    predictor = Predictor(models, settings, measured, slots, written)
    app.state.settings, app.state.models, app.state.predictor = settings, models, predictor
    app.state.metrics, app.state.guard, app.state.labels = measured, guard, Labels(settings.log, artifact.contract)
    app.state.connections, app.state.room = Connections(settings.limits), Room(settings.all_bodies_bytes)
    measured.registry.register(counts(guard, slots, app.state.room, predictor, app.state.connections))
    errors.install(app)
    service.include_lean(predict.make_router(predictor, settings))
    service.include_soon("/predict", predictor.together.answer, min(SMALL, settings.max_body_bytes))
    for router in (
        page.make_router(lambda request: request.app.state.models.artifact, tls=settings.security.tls),
        health.router,
        info.router,
        metrics.router,
        labels.make_router(app.state.labels, settings),
        review.make_router(settings, app.state.labels, artifact.contract),
        mlflow_routes.make_router(ProtocolService(predictor, settings)),
        v2_routes.make_router(ProtocolService(predictor, settings)),
    ):
        service.include(router)
    describe_guard(app, permissions)
    return service


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    """Load the model while the server already answers /health/live; at the end close what is open."""
    before_end(app.state.models.end, app.state.settings.drain_seconds)
    end_with_parent()
    starting = asyncio.create_task(app.state.models.start())
    starting.add_done_callback(_collect_garbage)
    if is_worker():
        await starting  # its connections would be another's, whose model is loaded
    app.state.connections.start()
    yield {connections.STATE: app.state.connections}
    await app.state.connections.close()
    await starting
    await app.state.predictor.close()
    await asyncio.to_thread(app.state.labels.close)
    if app.state.guard.limiter is not None:
        await app.state.guard.limiter.close()


def _collect_garbage(_: object) -> None:
    """From now on collect what refers to itself; commands begin with the collector off (`skline.process`).

    What is loaded by now stays, and looking through it again and again would hold up requests for 0.1 s at a time.
    """
    gc.freeze()
    gc.enable()
