"""The packaged model and its service. These tests are skipped until `dvc repro` has packaged a model.

`service` is an HTTP client of your serving/app.py, which runs as a process on this machine. A route of your own is
tested like this:

def test_hello(service: httpx.Client) -> None:
    assert service.get("/hello").json() == "hello"
"""

from collections.abc import Iterator

import httpx
import pytest

from skline import testing

pytestmark = testing.needs_results()


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    with testing.service() as client:
        yield client


def test_service_predicts_what_the_pipeline_predicts(service: httpx.Client) -> None:
    testing.check_predictions(service)


def test_service_rejects_invalid_rows(service: httpx.Client) -> None:
    testing.check_rejections(service)


def test_packaged_model_has_passed_its_gates() -> None:
    testing.check_gates()
