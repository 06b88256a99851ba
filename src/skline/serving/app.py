"""The application: the parts of the service behind its routes. It imports nothing of training, MLflow or DVC."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from skline import paths
from skline.serving.api import health, info, labels, metrics, predict, review
from skline.serving.api import mlflow as mlflow_routes
from skline.serving.api import open_inference as open_inference_routes
from skline.serving.api.openapi import document_security
from skline.serving.container import Container, build
from skline.serving.page import monitoring as monitoring_page
from skline.serving.page import routes as page_routes
from skline.serving.prediction.parsing import SMALL_BODY_BYTES
from skline.serving.protocols.adapter import ProtocolAdapter
from skline.serving.server.shutdown import install_graceful_shutdown
from skline.serving.server.workers import exit_with_parent, is_worker
from skline.serving.settings import ServiceSettings
from skline.serving.transport import connections, responses
from skline.serving.transport.dispatch import Dispatcher


def create_app(settings: ServiceSettings | None = None) -> Dispatcher:
    """Build the application around the release, or the artifact, that the settings name.

    The artifact's hashes are verified here; the model is loaded in the background once the server runs, and
    /health/ready reports when it has predicted its golden rows.

    Parameters
    ----------
    settings : ServiceSettings, optional
        Read from the environment by default.

    Raises
    ------
    SklineError
        If the artifact does not match its digest, or the settings contradict one another.
    """
    # Read when scikit-learn is loaded: for one row, starting more threads costs more than they save.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = settings or ServiceSettings()
    container = build(settings)
    artifact = container.artifact
    app = FastAPIOffline(
        title=artifact.manifest.title,
        version=artifact.version,
        description=artifact.contract.description,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name a scheme and a host that a proxy's clients cannot reach
        lifespan=_lifespan,
    )
    app.state.container = container
    responses.install_error_handlers(app, container.rejections.count)
    security = settings.security
    dispatcher = Dispatcher(
        app, container.lifecycle, container.permissions, container.limiter, security, settings.root_path
    )
    predictor, parser = container.predictor, container.parser
    monitor_page = settings.monitor_folder / paths.MONITOR_PAGE.name
    adapter = ProtocolAdapter(predictor, parser, container.models, settings)
    dispatcher.include_fast_routes(
        predict.make_router(predictor, container.recorder, parser, settings, looks_up=container.lookups is not None)
    )
    dispatcher.set_fast_path("/predict", container.coalescer.handle, min(SMALL_BODY_BYTES, settings.max_body_bytes))
    for router in (
        page_routes.make_router(
            lambda request: request.app.state.container.models.artifact, tls=security.tls, monitor_page=monitor_page
        ),
        monitoring_page.make_router(monitor_page, tls=security.tls),
        health.router,
        info.router,
        metrics.router,
        labels.make_router(container.labels, container.label_limiter, settings),
        review.make_router(settings, container.labels, artifact.contract),
        mlflow_routes.make_router(adapter),
        open_inference_routes.make_router(adapter),
    ):
        dispatcher.include_router(router)
    document_security(app, container.permissions, container.guard.keys, lambda: container.models.artifact.version)
    return dispatcher


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    """Load the model while the server responds to /health/live already; at the end close what is open."""
    container: Container = app.state.container
    install_graceful_shutdown(container.models.mark_stopping, container.settings.drain_seconds)
    exit_with_parent()
    loading = asyncio.create_task(_load(container))
    loading.add_done_callback(_freeze_loaded_objects)
    if is_worker():
        await loading  # until then the other workers take the connections
    container.connections.start()
    container.guard.keys.start()
    yield {connections.STATE_KEY: container.connections}
    await container.connections.close()
    await asyncio.to_thread(container.guard.keys.close)
    await loading
    await container.coalescer.close()
    await container.predictor.close()
    if container.lookups is not None:
        await asyncio.to_thread(container.lookups.close)
    container.rejections.flush()
    await asyncio.to_thread(container.prediction_log.close)
    await asyncio.to_thread(container.labels.close)
    if container.guard.limiter is not None:
        await container.guard.limiter.close()


async def _load(container: Container) -> None:
    """Prepare the stores of the look-ups, and load the model."""
    if container.lookups is not None:
        await asyncio.to_thread(container.lookups.open)
    await container.models.start()


def _freeze_loaded_objects(_: object) -> None:
    """Exempt what is loaded from garbage collection: it stays, and traversing it delays requests by 0.1 s at a time."""
    gc.freeze()
