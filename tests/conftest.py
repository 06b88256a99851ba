"""Fixtures: a packaged artifact and a real server on loopback."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from serving.app import create_app
from serving.settings import ServiceSettings
from tests import demo
from tests.postgres import Server
from tests.serving.loopback import served

# A busy machine is no fault of the code: no test fails by the clock.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _own_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services of tests write their predictions down in a place of their own, and ask for no keys."""
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLINE_LOG__DATABASE", str(folder / "predictions.db"))
        patch.setenv("SKLINE_LOG__PARTITIONS", str(folder / "predictions"))
        patch.setenv("SKLINE_LIMITS__RATE", "1000000/second")
        yield


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return demo.package(tmp_path_factory.mktemp("packaged") / "artifact")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


def running(app: Any) -> AbstractContextManager[httpx.Client]:
    """Run an application on a free port of loopback; gives a client once it answers."""
    return served(app, log_level="warning", lifespan="on")


def wait_until_loaded(client: httpx.Client) -> httpx.Response:
    """Ask for readiness until the model is loaded or refused."""
    for _ in range(600):
        response = client.get("/health/ready")
        if response.status_code == 200 or response.json()["reason"] != "the model is being loaded":
            break
        time.sleep(0.05)
    return response


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """Start services; each is stopped when the module's tests are done."""
    with ExitStack() as stack:

        def start(folder: Path, digest: str, **settings: int) -> httpx.Client:
            service = ServiceSettings(artifact=folder, artifact_digest=digest, **settings)  # type: ignore[arg-type]
            client = stack.enter_context(running(create_app(service)))
            wait_until_loaded(client)
            return client

        yield start


@pytest.fixture(scope="module")
def client(serve: Callable[..., httpx.Client], packaged: demo.Packaged) -> httpx.Client:
    return serve(packaged.folder, packaged.digest)


@pytest.fixture
def example() -> dict[str, object]:
    return {column.name: column.example for column in demo.contract().inputs}
