"""Fixtures: a packaged artifact and a real server on loopback."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from skline.stages.train import train
from tests.fixtures import demo, order
from tests.fixtures.postgres import Server
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.fixtures.server import START_SECONDS, served

# On a busy machine examples take long, and no test should fail because of that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _separate_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the services of tests a prediction log and results of monitoring of their own, and no rate limit."""
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKLINE_LOG__DATABASE", str(folder / "predictions.db"))
        patch.setenv("SKLINE_LOG__PARTITIONS", str(folder / "predictions"))
        patch.setenv("SKLINE_MONITOR_FOLDER", str(folder / "monitor"))
        patch.setenv("SKLINE_LIMITS__RATE", "1000000/second")
        yield


@pytest.fixture(autouse=True, scope="session")
def _unfrozen_objects() -> Iterator[None]:
    """Let the interpreter collect what the services froze when they started: DuckDB reports the rest as leaks."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return demo.package(tmp_path_factory.mktemp("packaged") / "artifact")


@pytest.fixture(scope="session")
def other_packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact of the same contract with other predictions."""
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("other") / "artifact", fitted)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


def running(app: Any) -> AbstractContextManager[httpx.Client]:
    """Run an application on a free port of loopback; yield a client once it responds."""
    return served(app, log_level="warning", lifespan="on")


def wait_until_loaded(client: httpx.Client) -> httpx.Response:
    """Poll /health/ready until the model is loaded or rejected; return the last response."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        response = client.get("/health/ready")
        is_loading = response.status_code != 200 and response.json()["reason"] == "the model is being loaded"
        if not is_loading or time.monotonic() > deadline:
            return response
        time.sleep(0.05)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """A function that starts services; they are stopped when the module's tests are done."""
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


@pytest.hookimpl(trylast=True)  # after the deselection by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest drills first; skip on Windows what needs signals, shells or servers of POSIX."""
    items[:] = order.longest_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    if sys.platform != "win32":
        return
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        if folder in ("behaviour", "deploy", "e2e"):
            item.add_marker(pytest.mark.skip(reason=f"tests/{folder} needs signals, shells or servers of POSIX"))
