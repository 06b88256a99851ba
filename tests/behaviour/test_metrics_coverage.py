"""With every feature in use and traffic on every route, /metrics is valid for Prometheus and has every metric."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from skline import api_keys
from skline.canary_limits import Guards
from skline.serving.settings import ReviewSettings, SecuritySettings
from skline.stages.train import train
from tests.fixtures import demo
from tests.fixtures.clients import wait_until
from tests.fixtures.releases import ServedReleases, wait_for_release
from tests.fixtures.sample_project.pipeline import build_pipeline
from tests.skline.serving.observability.test_metrics import assert_documented

pytestmark = pytest.mark.slow

#: The model of the demo looks nothing up.
LOOKUPS = {"skline_lookups_total", "skline_lookup_duration_seconds"}


@pytest.fixture(scope="module")
def challenger(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("challenger") / "artifact", fitted)


def request_every_route(client: httpx.Client, row: dict[str, Any]) -> set[str]:
    """Send valid and invalid requests to every route, and some to unknown routes; return the paths of the API."""
    tensors = [
        {"name": c.name, "shape": [1], "datatype": "INT64" if c.kind == "integer" else "BYTES", "data": [row[c.name]]}
        for c in demo.contract().inputs
    ]
    valid: dict[str, Any] = {
        "/predict": row,
        "/predict/batch": [row] * 30,
        "/invocations": {"dataframe_records": [row] * 3},
        "/v2/models/{name}/infer": {"inputs": tensors},
        "/labels": [{"prediction_id": "x", "label": True}],
        "/review/{prediction_id}": {"label": True},
    }
    operations: dict[str, dict[str, Any]] = client.get("/openapi.json").json()["paths"]
    for path, methods in operations.items():
        filled = path.replace("{name}", "demo").replace("{prediction_id}", "x")
        if "get" in methods:
            assert client.get(filled).status_code == 200, path
            assert client.head(filled).status_code in (200, 405)
        if "post" in methods:
            for entity in range(20):
                response = client.post(filled, json=valid[path], headers={"X-Entity-ID": f"person {entity}"})
                assert response.status_code == 200, (path, response.text)
            assert client.post(filled, json={"carrier": 5}).status_code == 422
    for explain in ("true", "never"):
        client.post(f"/predict?explain={explain}", json=row | {"dest": "QQQ", "distance": None})
    for path in ("/", "/docs", "/nothing", "/page/page.js", '/a"b\\c%0a'):
        client.get(path)
    client.get("/info", headers={"Authorization": "Bearer wrong"})
    return set(operations)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_accepts_metrics_and_every_metric_has_a_sample(
    packaged: demo.Packaged, challenger: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    releases = ServedReleases(tmp_path)
    releases.promote(packaged)
    _, key = api_keys.add(tmp_path / "keys.json", "all", ["predict", "label", "admin"])
    security = SecuritySettings(key_file=tmp_path / "keys.json", docs=True)
    review = ReviewSettings(low=0, high=1, per_day=5, sample=0.2)
    lenient = Guards(min_rows=100_000)
    with releases.serve(security=security, review=review) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        for kind, percent in (("canary", 50), ("shadow", 0)):
            wait_for_release(client, releases.start_experiment(challenger, kind, percent, guards=lenient))
            routes = request_every_route(client, example)
            wait_until(lambda: 'skline_queue_length{queue="log"} 0.0' in client.get("/metrics").text)
            text = client.get("/metrics").text
            done = subprocess.run(
                ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert_documented(text)
            declared = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
            sampled = {
                re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0]) for line in text.splitlines()
            }
            unused = {"skline_shadow_rows_total"} if kind == "canary" else set()
            assert declared - sampled == unused | LOOKUPS
            counted = set(re.findall(r'skline_request_duration_seconds_count\{[^}]*route="([^"]*)"', text))
            assert routes <= counted
            assert "other" in counted
            for word in ("person", "QQQ", "wrong", key):
                assert word not in text
            assert 'skline_rejected_requests_total{reason="unauthorized"}' in text
            releases.store.abort("enough")
