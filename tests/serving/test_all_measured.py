"""With every feature in use and traffic on every route, /metrics is as Prometheus wants it and tells of all of it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.security.settings import SecuritySettings
from serving.settings import ReviewSettings
from skline import keys
from skline.settings import Guards
from skline.stages.train import train
from tests import demo
from tests.serving.releases import World, in_force
from tests.serving.test_slow_clients import until
from tests.world.pipeline import build_pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    fitted = train(demo.parts()["train"], demo.contract(), build_pipeline, {"model__max_iter": 3}, seed=17)
    return demo.package(tmp_path_factory.mktemp("another") / "artifact", fitted)


def ask_everything(client: httpx.Client, row: dict[str, Any]) -> set[str]:
    """Ask every route of the API, well and badly, and some that are none; return the API's paths."""
    tensors = [
        {"name": c.name, "shape": [1], "datatype": "INT64" if c.kind == "integer" else "BYTES", "data": [row[c.name]]}
        for c in demo.contract().inputs
    ]
    good: dict[str, Any] = {
        "/predict": row,
        "/predict/batch": [row] * 30,
        "/invocations": {"dataframe_records": [row] * 3},
        "/v2/models/{name}/infer": {"inputs": tensors},
        "/labels": [{"prediction_id": "x", "label": True}],
        "/review/{prediction_id}": {"label": True},
    }
    found: dict[str, dict[str, Any]] = client.get("/openapi.json").json()["paths"]
    for path, methods in found.items():
        filled = path.replace("{name}", "demo").replace("{prediction_id}", "x")
        if "get" in methods:
            assert client.get(filled).status_code == 200, path
            assert client.head(filled).status_code in (200, 405)
        if "post" in methods:
            for entity in range(20):
                answer = client.post(filled, json=good[path], headers={"X-Entity-ID": f"person {entity}"})
                assert answer.status_code == 200, (path, answer.text)
            assert client.post(filled, json={"carrier": 5}).status_code == 422
    for way in ("true", "never"):
        client.post(f"/predict?explain={way}", json=row | {"dest": "QQQ", "distance": None})
    for path in ("/", "/docs", "/nothing", "/page/page.js", '/a"b\\c%0a'):
        client.get(path)
    client.get("/info", headers={"Authorization": "Bearer wrong"})
    return set(found)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_finds_no_fault_and_no_measurement_is_without_a_value(
    packaged: demo.Packaged, another: demo.Packaged, tmp_path: Path, example: dict[str, Any]
) -> None:
    world = World(tmp_path)
    world.promote(packaged)
    _, key = keys.add(tmp_path / "keys.json", "all", ["predict", "label", "admin"])
    security = SecuritySettings(key_file=tmp_path / "keys.json", docs=True)
    review = ReviewSettings(low=0, high=1, per_day=5, sample=0.2)
    lenient = Guards(min_rows=100_000)
    with world.serving(security=security, review=review) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        for kind, percent in (("canary", 50), ("shadow", 0)):
            in_force(client, world.begin(another, kind, percent, guards=lenient))
            routes = ask_everything(client, example)
            until(lambda: 'skline_queue{queue="log"} 0.0' in client.get("/metrics").text)
            text = client.get("/metrics").text
            done = subprocess.run(
                ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            declared = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
            told = {re.sub(r"_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0]) for line in text.splitlines()}
            silent = {name for name in declared if name not in told}
            assert silent == ({"skline_shadow_rows_total"} if kind == "canary" else set())
            asked = set(re.findall(r'skline_request_seconds_count\{[^}]*route="([^"]*)"', text))
            assert routes <= asked
            assert "other" in asked
            for word in ("person", "QQQ", "wrong", key):
                assert word not in text
            assert 'skline_refusals_total{kind="unauthorized"}' in text
            world.releases.abort("enough")
