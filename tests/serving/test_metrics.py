"""What Prometheus is told is what happened."""

import shutil
import subprocess
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import ScoreHistogram
from tests import demo

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(client: httpx.Client) -> Samples:
    """Every sample by its name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def change(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """By how much a sample has grown."""
    key = (name, tuple(sorted(labels.items())))
    return after.get(key, 0.0) - before.get(key, 0.0)


@pytest.fixture
def rows(example: dict[str, Any]) -> list[dict[str, Any]]:
    return [example, example | {"distance": None}, example | {"dest": "QQQ", "distance": None}]


def test_one_by_one_and_in_a_batch_the_same_is_counted(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
    start = scrape(client)
    answers = [client.post("/predict", json=row).json() for row in rows]
    singly = scrape(client)
    client.post("/predict/batch", json=rows)
    together = scrape(client)
    late = sum(answer["prediction"] for answer in answers)
    for before, after in ((start, singly), (singly, together)):
        assert change(before, after, "skline_rows_total") == 3
        assert change(before, after, "skline_predictions_total", prediction="true") == late
        assert change(before, after, "skline_predictions_total", prediction="false") == 3 - late
        assert change(before, after, "skline_input_missing_total", column="distance") == 2
        assert change(before, after, "skline_input_missing_total", column="dest") == 0
        assert change(before, after, "skline_input_unseen_total", column="dest") == 1
        assert change(before, after, "skline_score_count") == 3
        assert change(before, after, "skline_score_sum") == pytest.approx(
            sum(answer["probabilities"]["true"] for answer in answers)
        )


def test_requests_are_timed_by_route_path_and_status(client: httpx.Client, rows: list[dict[str, Any]]) -> None:
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
        name = "skline_request_seconds_count"
        assert change(before, after, name, route=route, status=status, path="plan") == count
    assert change(before, after, "skline_batch_rows_sum", source="request") == 3


def test_the_model_and_its_path_are_named(client: httpx.Client, packaged: demo.Packaged) -> None:
    samples = scrape(client)
    labels = {"version": f"demo@{packaged.digest[:12]}", "artifact_sha256": packaged.digest}
    path = {"path": "plan", "exactness": "bits"}
    assert samples["skline_model_info", tuple(sorted((labels | path).items()))] == 1
    assert samples["skline_plan_refused", ()] == 0
    assert samples["skline_ready", ()] == 1
    assert samples["skline_queue", (("queue", "rows"),)] == 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_promtool_finds_no_fault(client: httpx.Client, example: dict[str, Any]) -> None:
    client.post("/predict", json=example)
    text = client.get("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_batch_of_scores_is_counted_as_its_values_are() -> None:
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
