"""Put the service together. Nothing here or below imports training, MLflow, DVC or pandera."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving import errors
from serving.drain import before_end
from serving.metrics import Metrics
from serving.models import Models
from serving.predictor import Predictor
from serving.routers import health, info, metrics, predict
from serving.service import Service
from serving.settings import ServiceSettings
from skline.artifact import Artifact


def create_app(settings: ServiceSettings | None = None) -> Service:
    """Build the application around the artifact that the settings name.

    The artifact's hashes are verified here; the model is loaded in the background once the server
    runs, and /health/ready says when it has answered its golden rows.

    Raises
    ------
    ArtifactRefused
        If the artifact is not what its digest promises.
    """
    # Read when scikit-learn is loaded: for one row more threads cost more than they save.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = settings or ServiceSettings()
    artifact = Artifact.open(settings.artifact, settings.expected_digest())
    app = FastAPIOffline(
        title=artifact.manifest.title,
        version=artifact.version,
        description=artifact.contract.description,
        redoc_url=None,
        lifespan=_lifespan,
    )
    service = Service(app, Metrics())
    models = Models(artifact, settings, service.metrics)
    predictor = Predictor(models, settings, service.metrics)
    app.state.settings, app.state.models, app.state.predictor = settings, models, predictor
    app.state.metrics = service.metrics
    errors.install(app)
    service.include_lean(predict.make_router(predictor, settings))
    for router in (health.router, info.router, metrics.router):
        service.include(router)
    return service


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model while the server already answers /health/live."""
    before_end(app.state.models.end, app.state.settings.drain_seconds)
    starting = asyncio.create_task(app.state.models.start())
    yield
    await starting
    await app.state.predictor.close()
