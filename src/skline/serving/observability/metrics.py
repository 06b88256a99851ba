"""Prometheus metrics of requests, predictions, inputs and the model; docs/metrics.md lists all of them.

All metrics are updated on the event loop, where a prediction costs a few microseconds of it; a batch is summarized
in the thread that scores it.
"""

import collections
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from math import isnan
from operator import itemgetter
from typing import Any, NamedTuple, get_args

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from skline.artifact import Artifact, Scoring
from skline.contract.spec import Row, class_name
from skline.lookups.online import Outcome
from skline.scoring.scores import Scores
from skline.scoring.string_column import StringColumn

DURATION_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
PROBABILITY_BUCKETS = tuple(round(step / 20, 2) for step in range(1, 21))


class BatchSummary(NamedTuple):
    """What the metrics count in a batch.

    Attributes
    ----------
    rows : int
    predictions : mapping of class to int
        Rows per predicted class; empty for a regression.
    scores : float array of shape (n,)
        NaN where there is no score.
    missing, unseen : mapping of str to int
        Rows per column in which it is missing, or has a category that the training data did not have.
    """

    rows: int
    predictions: Mapping[Any, int]
    scores: np.ndarray[Any, Any]
    missing: Mapping[str, int]
    unseen: Mapping[str, int]


class Metrics:
    """The service's metrics.

    Attributes
    ----------
    registry : CollectorRegistry
        Holds these metrics and no others of this process.
    ready : Gauge
    artifact_rejections : Counter
    """

    def __init__(self) -> None:
        """Declare the metrics; the labels that depend on the model come with `set_model`."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Histogram(
            "skline_request_duration_seconds",
            "Time from the end of a request's head to the end of its response",
            ["route", "scoring_path", "status"],
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        self._batches = Histogram(
            "skline_batch_rows", "Rows scored in one batch", ["source"], registry=registry, buckets=ROW_BUCKETS
        )
        self._predictions = Counter("skline_predictions", "Predictions by class", ["class"], registry=registry)
        self._missing = Counter(
            "skline_input_missing_values", "Rows in which the column is missing", ["column"], registry=registry
        )
        self._unseen = Counter(
            "skline_input_unseen_categories",
            "Rows in which the column has a category that the training data did not have",
            ["column"],
            registry=registry,
        )
        self._declare_model_metrics(registry)
        self._declare_lookup_metrics(registry)
        self.ready = Gauge("skline_ready", "1 if the service can predict", registry=registry)
        self._scoring_path = "none"
        self._is_classifier = False
        self._scores: ScoreHistogram | None = None
        self._nullable: list[str] = []
        self._seen: dict[str, frozenset[str]] = {}
        self._predictions_of = cache(lambda prediction: self._predictions.labels(class_name(prediction)))
        self._requests_of = cache(lambda route, path, status: self._requests.labels(route, path, str(status)))
        # Rows of one request; of requests in the same iteration of the event loop; of requests that waited.
        self._batches_of = {source: self._batches.labels(source) for source in ("request", "coalesced", "micro_batch")}

    def _declare_model_metrics(self, registry: CollectorRegistry) -> None:
        """Declare what is said of the model that is served, and of rows that it does not score."""
        self._model = Info("skline_model", "The model that is served", registry=registry)
        self._plan_rejected = Gauge(
            "skline_plan_rejected",
            "1 if the artifact has a plan that is not used, because it did not pass verification",
            registry=registry,
        )
        self.artifact_rejections = Counter(
            "skline_artifact_rejections", "Artifacts that were found and are not served", registry=registry
        )
        self._fallback_rows = Counter(
            "skline_fallback_rows",
            "Rows that the model did not score, by the fallback that did; none: the request failed",
            ["fallback"],
            registry=registry,
        )
        for fallback in ("previous", "fixed", "rule", "none"):
            self._fallback_rows.labels(fallback)  # starts at 0, so that the first fallback is an increase

    def _declare_lookup_metrics(self, registry: CollectorRegistry) -> None:
        """Declare the outcomes of look-ups, and their time."""
        self._lookups = Counter(
            "skline_lookups", "Rows whose inputs were looked up, by what became of it", ["lookup", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._lookup_seconds = Histogram(
            "skline_lookup_duration_seconds",
            "Time that the rows of one request waited for a look-up",
            ["lookup"],
            registry=registry,
            buckets=DURATION_BUCKETS,
        )

    def set_model(self, artifact: Artifact, scoring: Scoring) -> None:
        """Set the model that is served from now on, and the labels that depend on it."""
        self._scoring_path = scoring.path
        self._model.info(
            {
                "version": artifact.version,
                "artifact_sha256": artifact.digest,
                "scoring_path": scoring.path,
                "exactness": scoring.exactness,
            }
        )
        self._plan_rejected.set(artifact.manifest.scoring.path == "plan" and scoring.path != "plan")
        self._nullable = [column.name for column in artifact.contract.inputs if column.nullable]
        self._seen = seen_categories(artifact)
        for name in artifact.contract.input_names:
            self._missing.labels(name)
        for name in self._seen:
            self._unseen.labels(name)
        for value in artifact.contract.classes or ():
            self._predictions_of(value)
        self._is_classifier = artifact.contract.classes is not None
        scores = ScoreHistogram(score_bounds(artifact))
        if self._scores is not None:
            self.registry.unregister(self._scores)
        self.registry.register(scores)
        self._scores = scores

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Record a request."""
        self._requests_of(route, self._scoring_path, status).observe(seconds)

    def observe_micro_batch(self, rows: int) -> None:
        """Record a batch of single-row requests that the pipeline scored together."""
        self._batches_of["micro_batch"].observe(rows)

    def count_fallback(self, fallback: str, rows: int) -> None:
        """Count rows that a fallback scored; `fallback` is none if no fallback could."""
        self._fallback_rows.labels(fallback).inc(rows)

    def observe_lookup(self, name: str, outcomes: Mapping[str, int], seconds: float) -> None:
        """Record the look-ups of one request in one store; it can be called from any thread."""
        for outcome, rows in outcomes.items():
            self._lookups.labels(name, outcome).inc(rows)
        self._lookup_seconds.labels(name).observe(seconds)

    def declare_lookups(self, names: Iterable[str]) -> None:
        """Start the counters of look-ups at 0, so that the first failure is an increase."""
        for name in names:
            self._lookup_seconds.labels(name)
            for outcome in get_args(Outcome):
                self._lookups.labels(name, outcome)

    def observe_row(self, row: Row, prediction: Any, score: float) -> None:
        """Record the prediction of a single row."""
        if self._is_classifier:
            self._predictions_of(prediction).inc()
        if self._scores is not None and not isnan(score):
            self._scores.observe(score)
        for name in self._nullable:
            if row[name] is None:
                self._missing.labels(name).inc()
        for name, seen in self._seen.items():
            if row[name] not in seen and row[name] is not None:
                self._unseen.labels(name).inc()

    def summarize(self, rows: Sequence[Row], scores: Scores, values: np.ndarray[Any, Any]) -> BatchSummary:
        """Summarize a batch, whose scores as numbers are `values`, shape (n,). Can be called from any thread."""
        missing = {name: list(map(itemgetter(name), rows)).count(None) for name in self._nullable}
        unseen = {}
        for name, seen in self._seen.items():
            others = set(map(itemgetter(name), rows)).difference(seen, (None,))
            unseen[name] = sum(row[name] in others for row in rows) if others else 0
        return BatchSummary(len(rows), self._count_predictions(scores), values, missing, unseen)

    def summarize_columns(
        self, columns: Mapping[str, Any], scores: Scores, values: np.ndarray[Any, Any]
    ) -> BatchSummary:
        """Summarize a batch as `summarize` does, from its columns: arrays or StringColumns of shape (n,)."""
        missing = {name: count_missing(columns[name]) for name in self._nullable}
        unseen = {name: count_unseen(columns[name], seen) for name, seen in self._seen.items()}
        return BatchSummary(len(values), self._count_predictions(scores), values, missing, unseen)

    def _count_predictions(self, scores: Scores) -> "collections.Counter[Any]":
        return collections.Counter(scores.predictions.tolist() if self._is_classifier else ())

    def observe_batch(self, summary: BatchSummary, source: str) -> None:
        """Record the predictions of a batch; `source` is request or coalesced."""
        self._batches_of[source].observe(summary.rows)
        for prediction, count in summary.predictions.items():
            self._predictions_of(prediction).inc(count)
        if self._scores is not None:
            self._scores.observe_many(summary.scores)
        for counter, counts in ((self._missing, summary.missing), (self._unseen, summary.unseen)):
            for name, count in counts.items():
                if count:
                    counter.labels(name).inc(count)


def count_missing(column: Any) -> int:
    """Return in how many rows of a column, an array or a StringColumn, the value is missing."""
    if isinstance(column, StringColumn):
        return sum(count for value, count in zip(column.values, column.counts(), strict=True) if value is None)
    return int((column != column).sum()) if column.dtype.kind in "fM" else 0  # noqa: PLR0124 (NaN and NaT)


def count_unseen(column: StringColumn, seen: Collection[str]) -> int:
    """Return in how many rows of a column the value is neither missing nor among those seen."""
    counted = zip(column.values, column.counts(), strict=True)
    return sum(count for value, count in counted if value is not None and value not in seen)


class ScoreHistogram(Collector):
    """A histogram that can observe an array of values at once, which prometheus_client's cannot."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Set the upper bounds of the buckets, ascending and without +Inf."""
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Record one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_many(self, values: np.ndarray[Any, Any]) -> None:
        """Record values of shape (n,) but for NaN."""
        total = float(values.sum())
        if isnan(total):
            values = values[~np.isnan(values)]
            total = float(values.sum())
        buckets = np.searchsorted(self._bounds, values, side="left")
        for index, count in enumerate(np.bincount(buckets, minlength=len(self._counts)).tolist()):
            self._counts[index] += count
        self._sum += total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family."""
        total, buckets = 0, []
        for bound, count in zip([*self._bounds, float("inf")], self._counts, strict=True):
            total += count
            buckets.append((str(bound) if bound < float("inf") else "+Inf", total))
        family = HistogramMetricFamily(
            "skline_score",
            "Probability of the second class (two classes) or the highest probability (more), or the predicted number",
        )
        family.add_metric([], buckets, self._sum)
        yield family


def score_bounds(artifact: Artifact) -> list[float]:
    """Return the buckets of the score histogram: twentieths of a probability, or deciles of the golden predictions."""
    if artifact.contract.classes is not None:
        return list(PROBABILITY_BUCKETS)
    return [
        float(f"{bound:.3g}")
        for bound in np.unique(np.quantile(artifact.golden.predictions, PROBABILITY_BUCKETS[1::2]))
    ]


def seen_categories(artifact: Artifact) -> dict[str, frozenset[str]]:
    """Return the categories in the training data, for text columns whose profile lists all of them."""
    columns = artifact.profile.get("columns", {})
    return {
        column.name: frozenset(profile["categories"])
        for column in artifact.contract.inputs
        if column.kind == "string"
        and (profile := columns.get(column.name, {})).get("categories")
        and profile.get("other") == 0
    }
