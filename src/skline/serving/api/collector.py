"""Metrics that other parts of the service count for themselves, read when Prometheus scrapes."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from skline.logs.collector import rows_family
from skline.logs.writer import PredictionLog
from skline.serving.observability.monitor_state import MonitorStateCollector
from skline.serving.prediction.explanations import ExplanationService
from skline.serving.prediction.review import ReviewSampler
from skline.serving.releases.manager import ModelManager
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.security.guard import Guard
from skline.serving.transport.body_budget import BodyBudget
from skline.serving.transport.connections import ConnectionLimiter


class RuntimeCollector(Collector):
    """Collects the state of guard, queues, stores, connections, experiment and release."""

    def __init__(
        self,
        guard: Guard,
        limiters: Sequence[ConcurrencyLimiter],
        bodies: BodyBudget,
        connections: ConnectionLimiter,
        models: ModelManager,
        prediction_log: PredictionLog,
        review_sampler: ReviewSampler,
        explanations: ExplanationService,
        monitor_state: MonitorStateCollector,
    ) -> None:
        self._guard, self._limiters, self._bodies, self._connections = guard, limiters, bodies, connections
        self._models, self._log, self._review_sampler = models, prediction_log, review_sampler
        self._explanations, self._monitor_state = explanations, monitor_state

    def collect(self) -> Iterator[Metric]:
        """Yield all families; those of an experiment are empty while none runs."""
        yield from self._requests()
        yield from self._stores()
        yield from self._experiment()
        yield from self._release()

    def _requests(self) -> Iterator[Metric]:
        limiter, scorer_queue = self._guard.limiter, self._scorer_queue()
        yield _counter(
            "skline_rejected_requests_total",
            "Requests that were not admitted",
            "reason",
            {
                "unauthorized": self._guard.keys.rejected["unauthorized"],
                "forbidden": self._guard.keys.rejected["forbidden"],
                "foreign": self._guard.foreign,
                "rate_limited": 0 if limiter is None else limiter.rejected,
                "overloaded": sum(limiter.rejected for limiter in self._limiters),
                "body_memory": self._bodies.rejected,
            },
        )
        yield _gauge("skline_open_connections", "Open connections", len(self._connections))
        yield _counter(
            "skline_connections_closed_total",
            "Connections that the service closed because of their client, or to make place for a new one",
            "reason",
            self._connections.closed,
        )
        yield _gauge(
            "skline_body_memory_bytes", "Memory reserved for request bodies that arrive in parts", self._bodies.used
        )
        queues = GaugeMetricFamily(
            "skline_queue_length",
            "Rows waiting to be logged (log) or scored (scoring), and requests waiting for a slot (requests)",
            labels=["queue"],
        )
        queues.add_metric(["log"], self._log.stats().queued)
        queues.add_metric(["scoring"], scorer_queue)
        queues.add_metric(["requests"], sum(limiter.waiting for limiter in self._limiters))
        yield queues
        yield CounterMetricFamily(
            "skline_review_beyond_capacity_total",
            "Predictions in the review band beyond the day's capacity",
            self._review_sampler.beyond_capacity,
        )
        yield CounterMetricFamily(
            "skline_explanations_skipped_total",
            "Explanations left out of responses because too many were requested at a time",
            self._explanations.skipped,
        )

    def _scorer_queue(self) -> int:
        release = self._models.current
        return 0 if release is None else release.model.scorer.waiting

    def _stores(self) -> Iterator[Metric]:
        log, limiter = self._log.stats(), self._guard.limiter
        yield rows_family(log)
        yield _counter(
            "skline_store_failures_total",
            "Failed reads and writes of stores and files that the service depends on",
            "store",
            {
                "log": log.failed_batches,
                "rate_limits": 0 if limiter is None else limiter.store_failures,
                "api_keys": self._guard.keys.reload_failures,
                "aborted_canaries": self._models.aborted_canaries.failures,
                "monitoring": self._monitor_state.failures,
                "releases": self._models.release_store_failures,
            },
        )
        yield _gauge(
            "skline_monitoring_exported",
            "1 if the newest state of `skline monitor` is exported; 0 if there is none, or it cannot be read",
            self._monitor_state.is_exported,
        )

    def _experiment(self) -> Iterator[Metric]:
        experiment = self._models.experiment
        rows: Mapping[str, float] = {}
        failures: Mapping[str, float] = {}
        shadow_rows = {}
        if experiment is not None:
            rows, failures = experiment.rows, experiment.challenger_failures
            if experiment.shadow is not None:
                shadow = experiment.shadow
                shadow_rows = {"scored": shadow.scored, "dropped": shadow.dropped, "failed": shadow.failed}
        yield _counter("skline_experiment_rows_total", "Rows of the running experiment, by assigned arm", "arm", rows)
        yield _counter(
            "skline_experiment_challenger_failures_total",
            "Rows of the challenger with an error, served by another model after it, slow, or refused by its full "
            "queue; a row may count in several",
            "kind",
            failures,
        )
        yield _counter(
            "skline_shadow_rows_total", "Rows submitted to the shadow model, by outcome", "outcome", shadow_rows
        )

    def _release(self) -> Iterator[Metric]:
        models = self._models
        written = GaugeMetricFamily(
            "skline_model_written_timestamp_seconds",
            "When the artifact that is served was written to this disk, in seconds since 1970",
        )
        if models.current is not None:
            written.add_metric([], models.current.model.artifact.written_at)
        yield written
        yield _gauge(
            "skline_release_number",
            "Number of the release that is served; 0 if there is none",
            0 if models.release is None else models.release.number,
        )
        yield _gauge(
            "skline_release_rejected",
            "1 if the newest release or artifact is not served",
            models.rejected_reason is not None,
        )
        yield _gauge(
            "skline_canary_aborted",
            "1 if the running experiment's challenger broke a guard",
            models.experiment is not None and models.experiment.aborted is not None,
        )


def _counter(name: str, documentation: str, label: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value)
