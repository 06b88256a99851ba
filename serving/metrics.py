"""What is measured, for Prometheus: requests, predictions, inputs, and which path answers.

All of it is updated on the event loop, and a prediction costs a few microseconds of it; a batch is gone through in the
thread that answers it.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.bodies import Row
from serving.scorers import Scorer
from skline.artifact import Artifact
from skline.scoring.answers import Scores

SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
SHARES = tuple(round(step / 20, 2) for step in range(1, 21))


class Tallied(NamedTuple):
    """What is counted of a batch: its rows, them by prediction, their scores, and its values by what is odd in them."""

    rows: int
    predictions: Mapping[Any, int]
    scores: np.ndarray[Any, Any]
    missing: Mapping[str, int]
    unseen: Mapping[str, int]


class Metrics:
    """The service's measurements, in a registry of their own."""

    def __init__(self) -> None:
        """Declare them; those of a model come with `loaded`."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Histogram(
            "skline_request_seconds",
            "Time from a request's head to the end of its answer",
            ["route", "path", "status"],
            registry=registry,
            buckets=SECONDS,
        )
        self._batches = Histogram(
            "skline_batch_rows", "Rows scored together", ["source"], registry=registry, buckets=ROWS
        )
        self._predictions = Counter("skline_predictions", "Predictions by class", ["prediction"], registry=registry)
        self._missing = Counter("skline_input_missing", "Rows in which it is missing", ["column"], registry=registry)
        self._unseen = Counter(
            "skline_input_unseen",
            "Rows in which it has a category that training never saw",
            ["column"],
            registry=registry,
        )
        self._model = Info("skline_model", "The model that answers", registry=registry)
        self._refused = Gauge(
            "skline_plan_refused", "1 if the artifact's plan is not used, since it was not proved", registry=registry
        )
        self.artifact_refused = Counter(
            "skline_artifact_refused", "Artifacts that were found and are not served", registry=registry
        )
        self._fallbacks = Counter(
            "skline_fallbacks", "Rows that the model did not answer, by who did", ["link"], registry=registry
        )
        for link in ("previous", "fixed", "rule", "none"):
            self._fallbacks.labels(link)  # 0, so that the first one is an increase
        self.ready = Gauge("skline_ready", "1 if predictions can be asked for", registry=registry)
        self._path = "none"
        self._classes = False
        self._scores: ScoreHistogram | None = None
        self._nullable: list[str] = []
        self._seen: dict[str, frozenset[str]] = {}
        self._predicted = cache(lambda prediction: self._predictions.labels(_text(prediction)))
        self._timed = cache(lambda route, path, status: self._requests.labels(route, path, str(status)))
        # Rows of one request; of requests that came in the same turn of the loop; of requests that waited.
        self._batch = {source: self._batches.labels(source) for source in ("request", "turn", "micro")}

    def loaded(self, artifact: Artifact, scorer: Scorer) -> None:
        """Name the model that answers from now on, and what its training saw."""
        scoring = scorer.scoring
        self._path = scoring.path
        self._model.info(
            {
                "version": artifact.version,
                "artifact_sha256": artifact.digest,
                "path": scoring.path,
                "exactness": scoring.exactness,
            }
        )
        self._refused.set(artifact.manifest.scoring.path == "plan" and scoring.path != "plan")
        self._nullable = [column.name for column in artifact.contract.inputs if column.nullable]
        self._seen = seen_categories(artifact)
        for name in artifact.contract.input_names:
            self._missing.labels(name)
        for name in self._seen:
            self._unseen.labels(name)
        for value in artifact.contract.classes or ():
            self._predicted(value)
        self._classes = artifact.contract.classes is not None
        scores = ScoreHistogram(score_bounds(artifact))
        if self._scores is not None:
            self.registry.unregister(self._scores)
        self.registry.register(scores)
        self._scores = scores

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._timed(route, self._path, status).observe(seconds)

    def micro_batch(self, rows: int) -> None:
        """Count a batch of single rows that were scored together."""
        self._batch["micro"].observe(rows)

    def fallback(self, link: str, rows: int) -> None:
        """Count rows that a fallback answered, or nobody."""
        self._fallbacks.labels(link).inc(rows)

    def row(self, row: Row, prediction: Any, score: float) -> None:
        """Count a prediction."""
        if self._classes:
            self._predicted(prediction).inc()
        if self._scores is not None:
            self._scores.observe(score)
        for name in self._nullable:
            if row[name] is None:
                self._missing.labels(name).inc()
        for name, seen in self._seen.items():
            if row[name] not in seen and row[name] is not None:
                self._unseen.labels(name).inc()

    def tally(self, rows: Sequence[Row], scores: Scores, values: np.ndarray[Any, Any]) -> Tallied:
        """Go through the predictions of a batch, `values` being its scores as numbers. From any thread."""
        missing = {name: list(map(itemgetter(name), rows)).count(None) for name in self._nullable}
        unseen = {}
        for name, seen in self._seen.items():
            others = set(map(itemgetter(name), rows)).difference(seen, (None,))
            unseen[name] = sum(row[name] in others for row in rows) if others else 0
        return Tallied(len(rows), Tally(scores.predictions.tolist() if self._classes else ()), values, missing, unseen)

    def rows(self, tallied: Tallied, source: str) -> None:
        """Count the predictions of a batch; `source` says what made it one."""
        self._batch[source].observe(tallied.rows)
        for prediction, count in tallied.predictions.items():
            self._predicted(prediction).inc(count)
        if self._scores is not None:
            self._scores.observe_many(tallied.scores)
        for counter, found in ((self._missing, tallied.missing), (self._unseen, tallied.unseen)):
            for name, count in found.items():
                if count:
                    counter.labels(name).inc(count)


class Counts(Collector):
    """Numbers that others keep, read when somebody scrapes.

    Parameters
    ----------
    families : sequence of (name, help, label, read)
        `read` gives a number for each value of the label. Names ending in _total are counters, others gauges.
    """

    def __init__(self, families: Sequence[tuple[str, str, str, Callable[[], Mapping[str, float]]]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Give the families to whoever scrapes."""
        for name, words, label, read in self._families:
            make = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = make(name, words, labels=[label])
            for value, number in read().items():
                family.add_metric([value], number)
            yield family


class ScoreHistogram(Collector):
    """A histogram that takes a batch of values at once."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Upper bounds, ascending; +Inf comes by itself."""
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_many(self, values: np.ndarray[Any, Any]) -> None:
        """Count values of shape (n,)."""
        where = np.searchsorted(self._bounds, values, side="left")
        for index, count in enumerate(np.bincount(where, minlength=len(self._counts)).tolist()):
            self._counts[index] += count
        self._sum += float(values.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the family to whoever scrapes."""
        total, buckets = 0, []
        for bound, count in zip([*self._bounds, float("inf")], self._counts, strict=True):
            total += count
            buckets.append((str(bound) if bound < float("inf") else "+Inf", total))
        family = HistogramMetricFamily(
            "skline_score", "Score: probability of the last class of two, of the class among more, or the prediction"
        )
        family.add_metric([], buckets, self._sum)
        yield family


def score_bounds(artifact: Artifact) -> list[float]:
    """Bounds of the score's histogram: twentieths of a probability, or tenths of the golden predictions."""
    if artifact.contract.classes is not None:
        return list(SHARES)
    return [float(f"{bound:.3g}") for bound in np.unique(np.quantile(artifact.golden.predictions, SHARES[1::2]))]


def seen_categories(artifact: Artifact) -> dict[str, frozenset[str]]:
    """The categories that training saw, of text columns whose profile names them all."""
    columns = artifact.profile.get("columns", {})
    return {
        column.name: frozenset(facts["categories"])
        for column in artifact.contract.inputs
        if column.kind == "string"
        and (facts := columns.get(column.name, {})).get("categories")
        and facts.get("other") == 0
    }


def _text(prediction: Any) -> str:
    """Write a class as JSON would."""
    return str(prediction).lower() if isinstance(prediction, bool) else str(prediction)
