"""What the service, a stream and the textfile of monitoring really export: the names of samples and of their labels."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import httpx
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from skline.monitoring.data_results import ColumnDrift, Drift, Quality
from skline.monitoring.estimates import Estimate
from skline.monitoring.label_results import MetricResult, Performance
from skline.monitoring.result import KpiResult, Window, WindowResult
from skline.monitoring.textfile import prometheus_text
from skline.serving.observability.metrics import Metrics
from skline.streaming.metrics import StreamMetrics

#: A metric, and its selector if it has one.
SELECTOR = re.compile(r"\b(skline_\w+)(?:\{([^}]*)\})?")
NOW = dt.datetime(2026, 3, 29, tzinfo=dt.UTC)
HALF = Estimate(value=0.5, low=0.4, high=0.6)
#: Labels that Prometheus adds.
ADDED = {"job", "instance"}


def window_result() -> WindowResult:
    """Return a result that has all parts that the textfile exports."""
    return WindowResult(
        written_at=NOW,
        window=Window(
            name="20260329T000000Z-7d", start=NOW - dt.timedelta(days=7), end=NOW, asof=NOW, length="7d",
            compare="training", model_version="demo@1", artifact_digest="1", rows=10, sampled_rows=10, entities=None,
        ),
        state="ok",
        sentence="Nothing has changed beyond its limit in 10 predictions.",
        states={"quality": "ok", "drift": "ok", "performance": "ok"},
        checks=(),
        quality=Quality(
            rows=10, expected_rows=None, rows_ratio=Estimate(), by_contract={}, broken_rows=0, conflicting_labels=0
        ),
        drift=Drift(
            reference="training", reference_rows=10, importance=0.1,
            columns=(
                ColumnDrift(
                    column="carrier", kind="string", rows=10, effective_rows=10, reference_rows=10,
                    measure="total_variation", effect=HALF, p=0.5, psi=None, wasserstein=None, bins=(), shares=(),
                    reference_shares=(),
                ),
            ),
        ),
        performance=Performance(
            start=NOW - dt.timedelta(days=8), end=NOW - dt.timedelta(days=1), metric="roc_auc", rows=10, labelled=5,
            weighted=False, uncovered=0.0, entities=None,
            metrics=(MetricResult(name="roc_auc", label="ROC AUC", better="higher", estimate=HALF),),
        ),
        kpis=(KpiResult(name="refunds", unit="EUR", rows=10, per_thousand=HALF),),
    )  # fmt: skip


def lookup_text() -> str:
    """Return what a service exports whose model has a look-up."""
    metrics = Metrics()
    metrics.declare_lookups(["customers"])
    return generate_latest(metrics.registry).decode()


def stream_text() -> str:
    """Return what a member of a stream exports."""
    metrics = StreamMetrics()
    metrics.lag.labels(0).set(1)
    return generate_latest(metrics.registry).decode()


def exported_labels(client: httpx.Client, row: dict[str, Any]) -> dict[str, set[str]]:
    """Return the labels of each sample by its name, from a scrape of the service, from a stream and from the textfile.

    A valid and an invalid request come first: some counters have no sample before.
    """
    client.post("/predict", json=row)
    client.post("/predict", json={})
    labels: dict[str, set[str]] = {}
    for text in (client.get("/metrics").text, lookup_text(), stream_text(), prometheus_text(window_result())):
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels.setdefault(name, set())  # an experiment's counters have no samples while none runs
            for sample in family.samples:
                labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def unknown_names(query: str, exported: dict[str, set[str]]) -> Iterator[str]:
    """Yield the metrics of a PromQL query that are not exported, and the labels in its selectors that they lack."""
    for name, selector in SELECTOR.findall(query):
        if name not in exported:
            yield name
        for label in re.findall(r"(\w+) *(?:=~|!~|!=|=)", selector):
            if name in exported and label not in exported[name] | ADDED:
                yield f"{name}{{{label}}}"
