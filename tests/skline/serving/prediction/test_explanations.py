"""Explanations have a slot of their own: however many are requested, predictions do not wait for them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from skline.explain import Explainer
from skline.serving.app import create_app
from skline.serving.prediction import explanations
from skline.serving.settings import LimitSettings, ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.clients import wait_until
from tests.fixtures.service import metric


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Explanations wait until it is set."""
    event, explain = threading.Event(), Explainer.explain

    def explain_later(self: Explainer, *arguments: Any) -> Any:
        assert event.wait(60)
        return explain(self, *arguments)

    monkeypatch.setattr(Explainer, "explain", explain_later)
    return event


def test_batches_are_predicted_while_more_explanations_are_requested_than_there_are_slots(
    packaged: demo.Packaged, example: dict[str, Any], gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "MAX_WAITING", 3)
    limits = LimitSettings(concurrent=2, waiting=2, wait_seconds=30, rate=None)
    settings = ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest, limits=limits)
    with running(create_app(settings)) as client, ThreadPoolExecutor(12) as threads:
        wait_until_loaded(client)
        requests = [threads.submit(client.post, "/predict?explain=true", json=example) for _ in range(12)]
        wait_until(lambda: sum(request.done() for request in requests) == 8)
        batches: list[httpx.Response] = [client.post("/predict/batch", json=[example]) for _ in range(12)]
        assert [batch.status_code for batch in batches] == [200] * 12
        gate.set()
        responses = [request.result() for request in requests]
        assert metric(client, "skline_explanations_skipped_total") == 8
    assert {response.status_code for response in responses} == {200}
    contents = [response.json() for response in responses]
    assert sum(content["explanation"] is not None for content in contents) == 4
    skipped = [content for content in contents if content["explanation"] is None]
    assert {content["no_explanation"] for content in skipped} == {
        "too many explanations are requested at a time; retry"
    }
    assert {tuple(content["probabilities"].values()) for content in contents} == {
        tuple(batches[0].json()["predictions"][0]["probabilities"].values())
    }
