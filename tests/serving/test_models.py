"""One model takes another's place whole, or not at all, and nobody notices but by the version."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.settings import ServiceSettings
from skline.stages.train import train
from tests import demo
from tests.conftest import running, wait_until_loaded
from tests.world.pipeline import build_pipeline


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    """An artifact of the same contract that answers otherwise."""
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


class Place:
    """Where a service finds its artifact and its digest."""

    def __init__(self, folder: Path, first: demo.Packaged) -> None:
        self.artifact, self.digest = folder / "artifact", folder / "artifact.sha256"
        self.put(first)

    def put(self, packaged: demo.Packaged, digest: str | None = None) -> None:
        shutil.rmtree(self.artifact, ignore_errors=True)
        shutil.copytree(packaged.folder, self.artifact)
        self.digest.write_text(digest or packaged.digest)


@pytest.fixture
def place(tmp_path: Path, packaged: demo.Packaged) -> Place:
    return Place(tmp_path, packaged)


@pytest.fixture
def client(place: Place) -> Iterator[httpx.Client]:
    settings = ServiceSettings(artifact=place.artifact, artifact_digest_file=place.digest, watch_seconds=0.05)
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        yield client


def wait_for(client: httpx.Client, key: str, value: Any) -> dict[str, Any]:
    """Ask /info until it says what it should."""
    import time

    for _ in range(200):
        info: dict[str, Any] = client.get("/info").json()
        if value(info[key]):
            return info
        time.sleep(0.05)
    raise AssertionError(f"{key} is still {info[key]!r}")


def test_under_load_every_request_is_answered_by_one_of_the_two_models(
    client: httpx.Client, place: Place, packaged: demo.Packaged, another: demo.Packaged, example: dict[str, Any]
) -> None:
    stop = False
    answers: list[httpx.Response] = []

    async def ask(many: httpx.AsyncClient) -> None:
        while not stop:
            answers.append(await many.post("/predict", json=example))

    async def swap() -> None:
        nonlocal stop
        async with httpx.AsyncClient(base_url=client.base_url, trust_env=False, timeout=30) as many:
            asking = [asyncio.create_task(ask(many)) for _ in range(8)]
            for which in (another, packaged, another):
                await asyncio.to_thread(place.put, which)
                version = f"demo@{which.digest[:12]}"
                await asyncio.to_thread(wait_for, client, "model_version", lambda found, v=version: found == v)
            stop = True
            await asyncio.gather(*asking)

    asyncio.run(swap())
    assert {answer.status_code for answer in answers} == {200}
    by_version: dict[str, set[float]] = {}
    for answer in answers:
        told = answer.json()
        by_version.setdefault(told["model_version"], set()).add(told["probabilities"]["true"])
    assert by_version.keys() == {f"demo@{one.digest[:12]}" for one in (packaged, another)}
    assert [len(chances) for chances in by_version.values()] == [1, 1]
    assert len(set.union(*by_version.values())) == 2


def test_what_cannot_be_served_leaves_the_last_good_one_serving(
    client: httpx.Client, place: Place, packaged: demo.Packaged, another: demo.Packaged, example: dict[str, Any]
) -> None:
    before = client.post("/predict", json=example).json()
    place.put(another)
    (place.artifact / "contract.json").write_text("{}")
    info = wait_for(client, "refused", bool)
    assert "contract.json" in info["refused"]
    assert client.post("/predict", json=example).json()["probabilities"] == before["probabilities"]
    assert client.get("/health/ready").status_code == 200
    assert "skline_artifact_refused_total 1.0" in client.get("/metrics").text
    place.put(another, digest="no digest")
    wait_for(client, "refused", lambda found: found and "holds no sha256" in found)
    place.put(another)
    assert wait_for(client, "refused", lambda found: found is None)["artifact_sha256"] == another.digest
    assert client.post("/predict", json=example).json()["probabilities"] != before["probabilities"]


def test_what_was_refused_is_forgotten_when_the_digest_is_again_that_of_who_serves(
    client: httpx.Client, place: Place, packaged: demo.Packaged
) -> None:
    place.digest.write_text("no digest")
    wait_for(client, "refused", lambda found: found and "holds no sha256" in found)
    place.digest.write_text(packaged.digest)
    assert wait_for(client, "refused", lambda found: found is None)["artifact_sha256"] == packaged.digest


def test_another_contract_needs_a_restart(client: httpx.Client, place: Place, tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    from skline.contract.derive import derive
    from tests.serving.test_service import Inputs, Number

    frame = pd.DataFrame({"a": np.arange(9.0), "class, %": np.arange(9.0)})
    fitted = LinearRegression().fit(frame, frame["a"])
    other = demo.package(tmp_path / "other", fitted, derive(Inputs, Number, {}), [{"a": 1.0, "class, %": 2.0}])
    place.put(other)
    assert "another contract" in wait_for(client, "refused", bool)["refused"]
