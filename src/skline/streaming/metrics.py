"""Metrics of a stream for Prometheus, in a registry of their own, served if a port is given."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

#: Upper ends of the seconds that a batch takes.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StreamMetrics:
    """Counts what a stream does."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = Counter(
            "skline_stream_rows", "Rows that were processed, by result", ["result"], registry=self.registry
        )
        for result in ("scored", "rejected"):
            self.rows.labels(result)
        self.seconds = Histogram(
            "skline_stream_batch_seconds", "Seconds to score and write a batch", buckets=BUCKETS, registry=self.registry
        )
        self.lag = Gauge(
            "skline_stream_lag", "Messages that are not processed yet, by partition", ["partition"],
            registry=self.registry,
        )  # fmt: skip
        self.commit_failures = Counter(
            "skline_stream_commit_failures", "Commits of offsets that failed", registry=self.registry
        )
        self.lost = Counter(
            "skline_stream_lost_messages",
            "Messages that retention deleted before they were processed",
            registry=self.registry,
        )
        self.rebalances = Counter("skline_stream_rebalances", "Assignments of partitions", registry=self.registry)
        self.model = Gauge("skline_stream_model_info", "The version that scores", ["version"], registry=self.registry)
        self.last_commit = Gauge(
            "skline_stream_last_commit_timestamp_seconds", "Time of the last commit", registry=self.registry
        )


@contextmanager
def served(metrics: StreamMetrics, host: str, port: int | None) -> Iterator[None]:
    """Serve the metrics on a port of an address of this machine; None serves nothing."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
