"""Metrics of the prediction log, read when Prometheus scrapes; the service and `skline stream` export the same."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from skline.logs.stats import LogStats
from skline.logs.writer import PredictionLog


def rows_family(stats: LogStats) -> CounterMetricFamily:
    """Return the number of rows by outcome."""
    family = CounterMetricFamily("skline_log_rows_total", "Rows of the prediction log, by outcome", labels=["outcome"])
    for outcome in ("written", "dropped", "rejected", "abandoned"):
        family.add_metric([outcome], getattr(stats, outcome))
    return family


class LogCollector(Collector):
    """Collects the metrics of a prediction log whose process has no other store."""

    def __init__(self, prediction_log: PredictionLog) -> None:
        self._log = prediction_log

    def collect(self) -> Iterator[Metric]:
        """Yield rows, failures, and the length of the queue."""
        stats = self._log.stats()
        yield rows_family(stats)
        failures = CounterMetricFamily(
            "skline_store_failures_total", "Failed writes of the prediction log", labels=["store"]
        )
        failures.add_metric(["log"], stats.failed_batches)
        yield failures
        queue = GaugeMetricFamily("skline_queue_length", "Rows waiting to be logged", labels=["queue"])
        queue.add_metric(["log"], stats.queued)
        yield queue
