"""/metrics counts what happens, under the names that docs/metrics.md lists."""

import re
import shutil
import subprocess
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from skline.serving.observability.metrics import ScoreHistogram
from skline.serving.observability.monitor_state import PREFIX
from tests.fixtures import demo

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(client: httpx.Client) -> Samples:
    """Return every sample by its name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def change(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """Return the increase of a sample."""
    key = (name, tuple(sorted(labels.items())))
    return after.get(key, 0.0) - before.get(key, 0.0)


@pytest.fixture
def rows(example: dict[str, Any]) -> list[dict[str, Any]]:
    return [example, example | {"distance": None}, example | {"dest": "QQQ", "distance": None}]


def test_single_rows_and_a_batch_are_counted_alike(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    start = scrape(client)
    predictions = [client.post("/predict", json=row).json() for row in rows]
    after_singles = scrape(client)
    client.post("/predict/batch", json=rows)
    after_batch = scrape(client)
    late = sum(prediction["prediction"] for prediction in predictions)
    for before, after in ((start, after_singles), (after_singles, after_batch)):
        assert change(before, after, "skline_predictions_total", **{"class": "true"}) == late
        assert change(before, after, "skline_predictions_total", **{"class": "false"}) == 3 - late
        assert change(before, after, "skline_input_missing_values_total", column="distance") == 2
        assert change(before, after, "skline_input_missing_values_total", column="dest") == 0
        assert change(before, after, "skline_input_unseen_categories_total", column="dest") == 1
        assert change(before, after, "skline_score_count") == 3
        assert change(before, after, "skline_score_sum") == pytest.approx(
            sum(prediction["probabilities"]["true"] for prediction in predictions)
        )


def test_requests_are_timed_by_route_scoring_path_and_status(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    before = scrape(client)
    client.post("/predict", json=rows[0])
    client.post("/predict", json={})
    client.post("/predict/batch", json=rows)
    client.get("/health/live")
    client.get("/no/such/page")
    client.get("/another/one")
    after = scrape(client)
    for route, status, count in (
        ("/predict", "200", 1),
        ("/predict", "422", 1),
        ("/predict/batch", "200", 1),
        ("/health/live", "200", 1),
        ("other", "404", 2),
    ):
        name = "skline_request_duration_seconds_count"
        assert change(before, after, name, route=route, status=status, scoring_path="plan") == count
    assert change(before, after, "skline_batch_rows_sum", source="request") == 3


def test_model_and_scoring_path_are_labels_of_the_model_info(client: httpx.Client, packaged: demo.Packaged) -> None:
    samples = scrape(client)
    labels = {
        "version": f"demo@{packaged.digest[:12]}",
        "artifact_sha256": packaged.digest,
        "scoring_path": "plan",
        "exactness": "bits",
    }
    assert samples["skline_model_info", tuple(sorted(labels.items()))] == 1
    assert samples["skline_plan_rejected", ()] == 0
    assert samples["skline_ready", ()] == 1
    assert samples["skline_queue_length", (("queue", "scoring"),)] == 0


def documented() -> dict[str, tuple[str, dict[str, set[str]]]]:
    """Return, by metric of docs/metrics.md, its type, and its labels with the values that are listed for them."""
    metrics = {}
    for line in (demo.ROOT / "docs/metrics.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `skline_"):
            name, kind, labels, _ = (cell.strip() for cell in line.strip("|").split("|"))
            label, _, values = labels.partition(": ")
            listed = {key: set(re.findall(r"`(\w+)`", values)) for key in re.findall(r"`(\w+)`", label)}
            metrics[name.strip("`")] = kind, listed
    return metrics


def assert_documented(text: str) -> None:
    """Assert that docs/metrics.md lists the metrics of a scrape with their types, labels and values of labels."""
    types = {
        name: kind
        for name, kind in re.findall(r"^# TYPE (skline_\S+) (\S+)$", text, re.MULTILINE)
        if not name.endswith("_created") and not name.startswith(PREFIX)
    }
    in_docs = {name: each for name, each in documented().items() if not name.startswith(PREFIX)}
    assert {name: kind for name, (kind, _) in in_docs.items()} == types
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if name not in types or not family.samples:
            continue
        _, labels = in_docs[name]
        assert {label for sample in family.samples for label in sample.labels} - {"le"} == labels.keys(), name
        for label, values in labels.items():
            assert not values or {sample.labels[label] for sample in family.samples} == values, name


def test_docs_list_every_metric_with_its_type_and_labels(client: httpx.Client, example: dict[str, Any]) -> None:
    client.post("/predict", json=example)
    assert_documented(client.get("/metrics").text)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_accepts_the_metrics(client: httpx.Client, example: dict[str, Any]) -> None:
    client.post("/predict", json=example)
    text = client.get("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_histogram_counts_an_array_as_it_counts_single_values() -> None:
    one, many = ScoreHistogram([0.25, 0.5, 1.0]), ScoreHistogram([0.25, 0.5, 1.0])
    values = np.array([0.0, 0.25, 0.2500001, 0.5, 0.75, 1.0, 1.5])
    many.observe_many(values)
    for value in values.tolist():
        one.observe(value)
    [first], [second] = one.collect(), many.collect()
    assert [s.value for s in first.samples] == [s.value for s in second.samples]
    assert {s.labels["le"]: s.value for s in first.samples if "le" in s.labels} == {
        "0.25": 2, "0.5": 4, "1.0": 6, "+Inf": 7,
    }  # fmt: skip
