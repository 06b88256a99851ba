"""Put the service together. Nothing here or below imports training, MLflow, DVC or pandera."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from serving import errors
from serving.predictor import Predictor
from serving.routers import health, info, predict
from serving.settings import ServiceSettings
from skline.artifact import Artifact
from skline.errors import SklineError

log = logging.getLogger("skline.serving")


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Build the application around the artifact that the settings name.

    The artifact's hashes are verified here; the pipeline is loaded in the background once the server
    runs, and /health/ready says when it has answered its golden rows.

    Raises
    ------
    ArtifactRefused
        If the artifact is not what its digest promises.
    """
    settings = settings or ServiceSettings()
    artifact = Artifact.open(settings.artifact, settings.expected_digest())
    predictor = Predictor(artifact, settings.max_batch_rows)
    app = FastAPIOffline(
        title=artifact.manifest.title,
        version=artifact.version,
        description=artifact.contract.description,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings, app.state.predictor = settings, predictor
    errors.install(app)
    for router in (predict.make_router(predictor), health.router, info.router):
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model while the server already answers /health/live."""
    loading = asyncio.create_task(asyncio.to_thread(_load, app.state.predictor))
    yield
    await loading


def _load(predictor: Predictor) -> None:
    """Load the model; a refusal is logged, and /health/ready goes on saying it."""
    try:
        predictor.load()
        log.info("%s is ready", predictor.artifact.version)
    except SklineError as error:
        log.error("%s is refused: %s", predictor.artifact.version, error)  # noqa: TRY400 - the sentence says all
