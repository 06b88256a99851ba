"""When the model fails, the fallbacks predict in the order of the chain, and each response names its fallback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from skline.errors import SklineError
from skline.serving.app import create_app
from skline.serving.settings import FallbackSettings, ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.service import metric

FIXED = {"prediction": False, "probabilities": {"false": 0.8, "true": 0.2}}


def rule(row: dict[str, Any]) -> dict[str, Any]:
    """Predict that long flights are late; fail on short ones."""
    probability = 0.9 if row["distance"] > 1000 else 1 / 0
    return {"prediction": True, "probabilities": {"false": 1 - probability, "true": probability}}


class FailingScorer:
    """A scorer that fails on every row."""

    waiting = 0
    batch_invariant = False

    def __init__(self, scorer: Any) -> None:
        self.scoring = scorer.scoring

    async def score_row(self, row: Any) -> Any:
        raise RuntimeError(f"secret {row}")

    def submit(self, row: Any, done: Any) -> None:
        done(RuntimeError(f"secret {row}"))

    def score_rows(self, rows: Any) -> Any:
        raise RuntimeError(f"secret {rows}")

    async def close(self) -> None:
        pass


@contextmanager
def failing_service(packaged: demo.Packaged, **fallback: Any) -> Iterator[httpx.Client]:
    """Run a service whose model fails on every row."""
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, fallback=FallbackSettings(**fallback)
    )
    service = create_app(settings)
    with running(service) as client:
        wait_until_loaded(client)
        models = service.app.state.container.models
        object.__setattr__(models.current.model, "scorer", FailingScorer(models.current.model.scorer))
        yield client


def test_first_fallback_of_the_chain_that_can_predicts(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    chain = ("previous", "rule", "fixed")
    with failing_service(packaged, chain=chain, rule=f"{__name__}:rule", answer=FIXED) as client:
        far = client.post("/predict", json=example).json()
        assert (far["fallback"], far["model_version"], far["probabilities"]["true"]) == ("rule", "rule", 0.9)
        near = client.post("/predict", json=example | {"distance": 200}).json()
        assert (near["fallback"], near["prediction"], near["probabilities"]) == ("fixed", False, FIXED["probabilities"])
        batch = client.post("/predict/batch", json=[example, example | {"distance": 200}]).json()["predictions"]
        assert [response["fallback"] for response in batch] == ["fixed", "fixed"]
        assert metric(client, 'skline_fallback_rows_total{fallback="rule"}') == 1
        assert metric(client, 'skline_fallback_rows_total{fallback="fixed"}') == 3


def test_failure_of_all_fallbacks_is_a_503_without_values_of_the_row(
    packaged: demo.Packaged, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with failing_service(packaged) as client:
        for path, body in (("/predict", example), ("/predict/batch", [example])):
            response = client.post(path, json=body)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert "secret" not in response.text
        assert metric(client, 'skline_fallback_rows_total{fallback="none"}') == 2
    assert "RuntimeError" in caplog.text
    assert "there is no previous model" in caplog.text
    assert "secret" not in caplog.text


def test_invalid_row_gets_a_422_and_no_fallback(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    with failing_service(packaged, chain=("fixed",), answer=FIXED) as client:
        assert client.post("/predict", json=example | {"distance": -1}).status_code == 422


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        ({"chain": ("fixed",)}, "fallback.answer is not set"),
        ({"chain": ("fixed",), "answer": {"prediction": "late"}}, "must be one of"),
        ({"chain": ("fixed",), "answer": {"prediction": 0, "probabilities": FIXED["probabilities"]}}, "must be one of"),
        ({"chain": ("fixed",), "answer": {"prediction": True}}, "probabilities must name"),
        ({"chain": ("fixed",), "answer": FIXED | {"probabilities": {"false": 0.5, "true": 0.6}}}, "sum to 1"),
        ({"chain": ("rule",)}, "module:function"),
        ({"chain": ("rule",), "rule": "no.such:thing"}, "No module named"),
        ({"chain": ("rule",), "rule": "math:pi"}, "is a float"),
    ],
)
def test_invalid_fallback_settings_keep_the_service_from_starting(
    packaged: demo.Packaged, fallback: dict[str, Any], message: str
) -> None:
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, fallback=FallbackSettings(**fallback)
    )
    with pytest.raises(SklineError, match=message):
        create_app(settings)
