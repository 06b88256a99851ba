"""A service that follows a digest file: each model is replaced as a whole, or not at all."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline import paths
from skline.errors import SklineError
from skline.files import write_text
from skline.release.verdict import GateResult, Verdict
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo
from tests.fixtures.service import metric


class DeployedArtifact:
    """The artifact and the digest file that a service reads."""

    def __init__(self, folder: Path, initial: demo.Packaged) -> None:
        self.artifact, self.digest_file = folder / "artifact", folder / "artifact.sha256"
        self.replace(initial)

    def replace(self, packaged: demo.Packaged, digest: str | None = None) -> None:
        shutil.rmtree(self.artifact, ignore_errors=True)
        shutil.copytree(packaged.folder, self.artifact)
        self.digest_file.write_text(digest or packaged.digest)


@pytest.fixture
def deployed(tmp_path: Path, packaged: demo.Packaged) -> DeployedArtifact:
    return DeployedArtifact(tmp_path, packaged)


@pytest.fixture
def client(deployed: DeployedArtifact) -> Iterator[httpx.Client]:
    settings = ServiceSettings(
        artifact=deployed.artifact, artifact_digest_file=deployed.digest_file, watch_seconds=0.05
    )
    with running(create_app(settings)) as client:
        wait_until_loaded(client)
        yield client


def wait_for(client: httpx.Client, key: str, condition: Any) -> dict[str, Any]:
    """Poll /info until `condition` holds for the value of `key`; return its response."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        info: dict[str, Any] = client.get("/info").json()
        if condition(info[key]):
            return info
        time.sleep(0.05)
    raise AssertionError(f"{key} is still {info[key]!r}")


def test_swaps_under_load_serve_every_request_by_one_of_the_two_models(
    client: httpx.Client,
    deployed: DeployedArtifact,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    example: dict[str, Any],
) -> None:
    stop = False
    responses: list[httpx.Response] = []

    async def send_requests(session: httpx.AsyncClient) -> None:
        while not stop:
            responses.append(await session.post("/predict", json=example))

    async def swap_models() -> None:
        nonlocal stop
        async with httpx.AsyncClient(base_url=client.base_url, trust_env=False, timeout=30) as session:
            senders = [asyncio.create_task(send_requests(session)) for _ in range(8)]
            for artifact in (other_packaged, packaged, other_packaged):
                await asyncio.to_thread(deployed.replace, artifact)
                version = f"demo@{artifact.digest[:12]}"
                await asyncio.to_thread(wait_for, client, "model_version", lambda served, v=version: served == v)
            stop = True
            await asyncio.gather(*senders)

    asyncio.run(swap_models())
    assert {response.status_code for response in responses} == {200}
    by_version: dict[str, set[float]] = {}
    for response in responses:
        content = response.json()
        by_version.setdefault(content["model_version"], set()).add(content["probabilities"]["true"])
    assert by_version.keys() == {f"demo@{artifact.digest[:12]}" for artifact in (packaged, other_packaged)}
    assert [len(probabilities) for probabilities in by_version.values()] == [1, 1]
    assert len(set.union(*by_version.values())) == 2


def test_invalid_artifact_is_rejected_and_the_current_model_stays_in_service(
    client: httpx.Client, deployed: DeployedArtifact, other_packaged: demo.Packaged, example: dict[str, Any]
) -> None:
    before = client.post("/predict", json=example).json()
    deployed.replace(other_packaged)
    (deployed.artifact / "contract.json").write_text("{}")
    info = wait_for(client, "rejected", bool)
    assert "contract.json" in info["rejected"]
    assert client.post("/predict", json=example).json()["probabilities"] == before["probabilities"]
    assert client.get("/health/ready").status_code == 200
    assert metric(client, "skline_artifact_rejections_total") == 1
    deployed.replace(other_packaged, digest="no digest")
    wait_for(client, "rejected", lambda reason: reason and "holds no sha256" in reason)
    deployed.replace(other_packaged)
    info = wait_for(client, "rejected", lambda reason: reason is None)
    assert info["artifact_sha256"] == other_packaged.digest
    assert client.post("/predict", json=example).json()["probabilities"] != before["probabilities"]


def test_an_unexpected_failure_of_the_start_is_logged_and_shown(
    deployed: DeployedArtifact, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise AttributeError("module 'numpy' has no attribute 'float'")

    monkeypatch.setattr("skline.serving.releases.manager.load_model", fail)
    settings = ServiceSettings(
        artifact=deployed.artifact, artifact_digest_file=deployed.digest_file, watch_seconds=0.05
    )
    with running(create_app(settings)) as client:
        for _ in range(200):
            response = client.get("/health/ready")
            if "AttributeError" in response.text:
                break
            time.sleep(0.05)
        assert response.status_code == 503
        assert "AttributeError: module 'numpy' has no attribute 'float'" in response.text
    assert any("cannot be loaded" in record.message and record.exc_info for record in caplog.records)


def test_candidate_that_failed_its_gates_is_reported_and_not_served(
    tmp_path: Path, packaged: demo.Packaged, monkeypatch: pytest.MonkeyPatch, example: dict[str, Any]
) -> None:
    DeployedArtifact(tmp_path, packaged)
    monkeypatch.chdir(tmp_path)
    gate = GateResult(gate="floor roc_auc", passed=False, reason="0.61, at least 0.62")
    with running(create_app(ServiceSettings(watch_seconds=0.05))) as client:
        wait_until_loaded(client)
        Path("reports").mkdir()
        write_text(paths.VERDICT, Verdict(artifact_sha256="b" * 64, gates=(gate,)).model_dump_json())
        info = wait_for(client, "rejected", bool)
        reason = f"demo@bbbbbbbbbbbb failed its gates, and {packaged.version} stays in service: floor roc_auc: 0.61, at"
        assert info["rejected"].startswith(reason)
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["rejected"]) == (200, info["rejected"])
        assert client.post("/predict", json=example).json()["model_version"] == packaged.version
        paths.VERDICT.unlink()  # as while the stage assess runs again
        wait_for(client, "rejected", lambda rejected: rejected is None)


def test_service_without_an_admitted_model_names_the_gates_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = GateResult(gate="floor roc_auc", passed=False, reason="0.61, at least 0.62")
    write_text(paths.VERDICT, Verdict(artifact_sha256="b" * 64, gates=(gate,)).model_dump_json())
    with pytest.raises(SklineError, match="no model has passed its gates yet; the newest failed: floor roc_auc: 0.61"):
        create_app(ServiceSettings())


def test_rejection_is_cleared_when_the_digest_file_names_the_current_model_again(
    client: httpx.Client, deployed: DeployedArtifact, packaged: demo.Packaged
) -> None:
    deployed.digest_file.write_text("no digest")
    wait_for(client, "rejected", lambda reason: reason and "holds no sha256" in reason)
    deployed.digest_file.write_text(packaged.digest)
    assert wait_for(client, "rejected", lambda reason: reason is None)["artifact_sha256"] == packaged.digest


def test_artifact_of_another_contract_is_rejected_until_a_restart(
    client: httpx.Client, deployed: DeployedArtifact, tmp_path: Path
) -> None:
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    from skline.contract.derive import derive
    from tests.skline.serving.test_app import Inputs, Number

    frame = pd.DataFrame({"a": np.arange(9.0), "class, %": np.arange(9.0)})
    fitted = LinearRegression().fit(frame, frame["a"])
    contract = derive(Inputs, Number, {})
    deployed.replace(demo.package(tmp_path / "other", fitted, contract, [{"a": 1.0, "class, %": 2.0}]))
    assert "another contract" in wait_for(client, "rejected", bool)["rejected"]
