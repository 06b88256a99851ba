"""A service follows the release in S3: outages and broken artifacts leave the last good one in service."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skline.commands.releases import push
from skline.errors import SklineError
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.fixtures import demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_info
from tests.fixtures.service import metric_by_label

pytestmark = [pytest.mark.objects, pytest.mark.filterwarnings("ignore")]
ADDRESS = "s3://models/flights/release.json"


class Store:
    """An S3 server on loopback that can be stopped and started."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.application, self.port = DomainDispatcherApplication(create_backend_app), 0
        self.start()

    def start(self) -> None:
        from werkzeug.serving import make_server

        self._server = make_server("127.0.0.1", self.port, self.application, threaded=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = Store()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield store
    store.stop()


@pytest.fixture
def bucket(store: Store) -> Any:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    return client


def test_replicas_follow_the_release_through_outages_and_broken_artifacts(
    store: Store,
    bucket: Any,
    packaged: demo.Packaged,
    other_packaged: demo.Packaged,
    example: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    releases = ServedReleases(tmp_path)
    monkeypatch.chdir(tmp_path)

    def predicted() -> str:
        response = client.post("/predict", json=example)
        assert response.status_code == 200
        return str(response.json()["model_version"])

    releases.promote(packaged)
    push(ADDRESS)
    settings: dict[str, Any] = {"release": ADDRESS, "release_cache": tmp_path / "cache", "watch_seconds": 0.1}
    with releases.serve(**settings) as client:
        wait_for_info(client, lambda info: info["release"] == 1)
        second = releases.promote(other_packaged)
        push(ADDRESS)
        wait_for_info(client, lambda info: info["release"] == second)
        assert predicted() == version_of(other_packaged)
        store.stop()
        wait_for_info(client, lambda _: metric_by_label(client, "skline_store_failures_total")["releases"] > 0)
        assert predicted() == version_of(other_packaged)
        assert client.get("/info").json()["rejected"] is None, "an outage is no fault of the release"
        assert client.get("/health/ready").status_code == 200
        with releases.serve(**settings) as restarted:
            wait_for_info(restarted, lambda info: info["release"] == second)
        with pytest.raises(SklineError, match=f"^{ADDRESS} cannot be read: "):
            create_app(ServiceSettings(**(settings | {"release_cache": tmp_path / "empty"})))
        store.start()
        key = f"flights/artifacts/{packaged.digest}/pipeline.joblib"
        content = bucket.get_object(Bucket="models", Key=key)["Body"].read()
        for _ in range(2):  # two releases later the first artifact is no longer in the copy
            releases.promote(other_packaged)
            push(ADDRESS)
            wait_for_info(client, lambda info: info["release"] == releases.store.current().number)  # type: ignore[union-attr]
        damaged = content[:-1] + bytes([content[-1] ^ 1])  # of the right size: a push uploads a truncated file again
        bucket.put_object(Bucket="models", Key=key, Body=damaged)
        third = releases.promote(packaged)
        push(ADDRESS)
        info = wait_for_info(client, lambda info: info["rejected"])
        assert f"artifacts/{packaged.digest} of {ADDRESS}/pipeline.joblib does not have the sha256" in info["rejected"]
        assert predicted() == version_of(other_packaged)
        bucket.put_object(Bucket="models", Key=key, Body=content)
        wait_for_info(client, lambda info: info["release"] == third)
        assert predicted() == version_of(packaged)
        assert json.loads((tmp_path / "cache/release.json").read_text())["number"] == third
    assert not list((tmp_path / "cache/artifacts").glob(".*"))
