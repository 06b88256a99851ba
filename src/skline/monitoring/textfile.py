"""The newest state as a Prometheus textfile, which a scrape of the service or the node exporter picks up."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from skline.monitoring.checks import STATES
from skline.monitoring.result import WindowResult

#: The values of a family's labels, and its value; None is left out.
Sample = tuple[tuple[str, ...], float | None]


class ResultCollector(Collector):
    """Yields the metrics of a result, and the failures of the webhook so far."""

    def __init__(self, result: WindowResult, webhook_failures: int) -> None:
        self._result, self._webhook_failures = result, webhook_failures

    def collect(self) -> Iterator[Metric]:
        """Yield all families; those of parts that the result lacks are left out."""
        result, window = self._result, self._result.window
        yield _value("run_timestamp_seconds", "When monitoring last succeeded", result.written_at.timestamp())
        yield _value("window_end_timestamp_seconds", "End of the newest window", window.end.timestamp())
        yield _value("window_rows", "Predictions of the window", window.rows)
        yield _family(
            "state",
            "1 for the state that a part of monitoring is in, 0 for the others; the part all is the worst of them",
            ("part", "state"),
            (
                ((part, state), state == current)
                for part, current in (("all", result.state), *result.states.items())
                for state in STATES
            ),
        )
        yield _value("problems", "Parts or columns that could not be computed", len(result.problems))
        yield CounterMetricFamily(
            "skline_monitor_webhook_failures",
            "Messages to the webhook whose delivery failed or is unknown",
            self._webhook_failures,
        )
        yield _value("rejected_share", "Share of rows that were rejected", result.quality.rejected.value)
        if result.drift is not None:
            yield _family(
                "drift_effect",
                "Kolmogorov-Smirnov distance or total variation of a column",
                ("column",),
                (((each.column,), each.effect.value) for each in result.drift.columns),
            )
            yield _value("drift_importance", "Importance-weighted drift", result.drift.importance)
        if result.performance is not None:
            yield _family(
                "metric",
                "Metric on matured labels, and the ends of its 95 % interval",
                ("metric", "bound"),
                (
                    ((each.name, bound), getattr(each.estimate, bound))
                    for each in result.performance.metrics
                    for bound in ("value", "low", "high")
                ),
            )
            rows = result.performance.rows
            coverage = result.performance.labelled / rows if rows else None
            yield _value("label_coverage", "Share of matured predictions with a label", coverage)
        yield _family(
            "kpi_per_thousand",
            "Business figures for 1,000 predictions",
            ("kpi",),
            (
                ((each.name,), each.per_thousand.value)
                for each in result.kpis
                if each.arm is None and each.segment is None
            ),
        )


def prometheus_text(result: WindowResult, webhook_failures: int = 0) -> str:
    """Return the metrics of a result in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(ResultCollector(result, webhook_failures))
    return generate_latest(registry).decode()


def _value(name: str, meaning: str, value: float | None) -> Metric:
    return _family(name, meaning, (), [((), value)])


def _family(name: str, meaning: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(f"skline_monitor_{name}", meaning, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family
