"""Bodies of all protocols are parsed in the slots of batches, one at a time: what is parsed takes much memory."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from skline.serving.app import create_app
from skline.serving.protocols import mlflow, open_inference
from skline.serving.settings import LimitSettings, ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo

ROW = {column.name: column.example for column in demo.contract().inputs}
TENSORS = [
    {"name": column.name, "shape": [1], "datatype": open_inference.datatype_of(column), "data": [column.example]}
    for column in demo.contract().inputs
]
BODIES: dict[str, Any] = {
    "/invocations": {"dataframe_records": [ROW]},
    "/v2/models/demo/infer": {"inputs": TENSORS},
    "/predict/batch": "\n".join([",".join(ROW), ",".join(map(str, ROW.values()))]),
}


class Concurrency:
    """Counts how many calls of a function run at a time.

    Attributes
    ----------
    most : int
    """

    def __init__(self) -> None:
        self.most = self._now = 0
        self._lock = threading.Lock()

    def slowed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a delay, so that calls which can run at a time do."""

        def call(*arguments: Any) -> Any:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            try:
                time.sleep(0.05)
                return function(*arguments)
            finally:
                with self._lock:
                    self._now -= 1

        return call


@pytest.fixture
def concurrency(monkeypatch: pytest.MonkeyPatch) -> Concurrency:
    """How many bodies are parsed at a time."""
    concurrency = Concurrency()
    for module in (mlflow, open_inference):
        monkeypatch.setattr(module, "parse", concurrency.slowed(module.parse))
    return concurrency


@pytest.fixture
def service(packaged: demo.Packaged) -> Iterator[httpx.Client]:
    limits = LimitSettings(concurrent=2, waiting=100, wait_seconds=30, rate=None)
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits=limits)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        yield client


def test_bodies_of_all_protocols_are_parsed_one_at_a_time(service: httpx.Client, concurrency: Concurrency) -> None:
    def post(path: str) -> int:
        body = BODIES[path]
        content_type = "text/csv" if isinstance(body, str) else "application/json"
        content = body if isinstance(body, str) else json.dumps(body)
        return service.post(path, content=content, headers={"content-type": content_type}).status_code

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(post, [*BODIES] * 4))
    assert statuses == [200] * 12
    assert concurrency.most == 1
