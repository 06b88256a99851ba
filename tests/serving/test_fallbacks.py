"""When the model fails, others answer in the order of the chain, and every answer says who."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.settings import FallbackSettings, ServiceSettings
from skline.errors import SklineError
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.serving.test_scorers import metric

FIXED = {"prediction": False, "probabilities": {"false": 0.8, "true": 0.2}}


def rule(row: dict[str, Any]) -> dict[str, Any]:
    """Long flights are late; of short ones the rule knows nothing."""
    late = 0.9 if row["distance"] > 1000 else 1 / 0
    return {"prediction": True, "probabilities": {"false": 1 - late, "true": late}}


class Broken:
    """A scorer that fails."""

    waiting = 0
    together = False

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
def failing(packaged: demo.Packaged, **fallback: Any) -> Iterator[httpx.Client]:
    """A service whose model fails on every row."""
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, fallback=FallbackSettings(**fallback)
    )
    service = create_app(settings)
    with running(service) as client:
        wait_until_loaded(client)
        models = service.app.state.models
        object.__setattr__(models.current, "scorer", Broken(models.current.scorer))
        yield client


def test_along_the_chain_the_first_who_can_answers(packaged: demo.Packaged, example: dict[str, Any]) -> None:
    chain = ("previous", "rule", "fixed")
    name = f"{__name__}:rule"
    with failing(packaged, chain=chain, rule=name, answer=FIXED) as client:
        far = client.post("/predict", json=example).json()
        assert (far["fallback"], far["model_version"], far["probabilities"]["true"]) == ("rule", "rule", 0.9)
        near = client.post("/predict", json=example | {"distance": 200}).json()
        assert (near["fallback"], near["prediction"], near["probabilities"]) == ("fixed", False, FIXED["probabilities"])
        batch = client.post("/predict/batch", json=[example, example | {"distance": 200}]).json()["predictions"]
        assert [answer["fallback"] for answer in batch] == ["fixed", "fixed"]
        assert metric(client, 'skline_fallbacks_total{link="rule"}') == 1
        assert metric(client, 'skline_fallbacks_total{link="fixed"}') == 3


def test_the_end_of_the_chain_is_a_503_without_the_rows_values_in_answer_or_log(
    packaged: demo.Packaged, example: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with failing(packaged) as client:
        for path, body in (("/predict", example), ("/predict/batch", [example])):
            response = client.post(path, json=body)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert "secret" not in response.text
        assert metric(client, 'skline_fallbacks_total{link="none"}') == 2
    assert "RuntimeError" in caplog.text
    assert "there is no previous model" in caplog.text
    assert "secret" not in caplog.text


def test_a_bad_row_is_the_callers_fault_and_no_reason_to_fall_back(
    packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    with failing(packaged, chain=("fixed",), answer=FIXED) as client:
        assert client.post("/predict", json=example | {"distance": -1}).status_code == 422


@pytest.mark.parametrize(
    ("fallback", "word"),
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
def test_a_chain_that_cannot_work_keeps_the_service_from_starting(
    packaged: demo.Packaged, fallback: dict[str, Any], word: str
) -> None:
    settings = ServiceSettings(
        artifact=packaged.folder, artifact_digest=packaged.digest, fallback=FallbackSettings(**fallback)
    )
    with pytest.raises(SklineError, match=word):
        create_app(settings)
